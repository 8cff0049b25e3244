#include <stdint.h>

#include "rt.h"
#include "tape.h"

rt_tape_t *rt_tape_new(uint32_t inputs, uint32_t outputs, const uint8_t *slots, uint32_t capacity,
                       int before_gains)
{
    int sound = inputs <= RT_MAX_CHANNELS && outputs <= RT_MAX_CHANNELS && capacity
                && !(capacity & (capacity - 1));
    for (uint32_t c = 0; sound && c < outputs; c++)
        sound = slots[c] < RT_MAX_CHANNELS;
    rt_tape_t *tape = sound ? calloc(1, sizeof *tape) : NULL;
    if (!tape || !ring_init(&tape->ring, inputs + outputs, capacity)) {
        free(tape);
        return NULL;
    }
    tape->inputs = inputs;
    tape->before_gains = before_gains;
    memset(tape->channels, NOT_TAPED, sizeof tape->channels);
    for (uint32_t c = 0; c < outputs; c++)
        tape->channels[slots[c]] = (uint8_t)(inputs + c);
    return tape;
}

void rt_tape_free(rt_tape_t *tape)
{
    if (tape)
        free(tape->ring.data);
    free(tape);
}

/* ---- the server's real-time thread ---- */

static void keep(rt_tape_t *tape, uint32_t channel, uint32_t at, const float *samples,
                 uint32_t frames)
{
    ring_copy_in(&tape->ring, channel, get(&tape->ring.written) + at, samples, frames);
}

void tape_begin(rt_tape_t *tape, uint32_t nframes)
{
    uint64_t position = get(&tape->ring.written);
    (void)get(&tape->ring.read); /* acquires it: what was read is not overwritten before */
    set(&tape->begun, position + nframes);
    /* rt_tape_read() must see that before it sees any of what is overwritten. */
    atomic_thread_fence(memory_order_release);
    for (uint32_t c = 0; c < tape->ring.channels; c++) {
        uint32_t first = ring_before_end(&tape->ring, position, nframes);
        float *data = ring_channel(&tape->ring, c);
        memset(data + (position & (tape->ring.capacity - 1)), 0, first * sizeof(float));
        memset(data, 0, (nframes - first) * sizeof(float));
    }
}

void tape_input(rt_tape_t *tape, uint32_t input, uint32_t at, const float *samples, uint32_t frames)
{
    if (input < tape->inputs)
        keep(tape, input, at, samples, frames);
}

void tape_output(rt_tape_t *tape, uint32_t output, uint32_t at, const float *samples,
                 uint32_t frames)
{
    if (tape->channels[output] != NOT_TAPED)
        keep(tape, tape->channels[output], at, samples, frames);
}

void tape_end(rt_tape_t *tape)
{
    set(&tape->ring.written, get(&tape->begun));
}

/* ---- another thread ---- */

uint32_t rt_tape_read(rt_tape_t *tape, float *dst, uint32_t stride, uint32_t max)
{
    uint32_t frames = ring_look(&tape->ring, dst, stride, max);
    uint32_t lost = ring_take(&tape->ring, dst, stride, frames, get(&tape->begun));
    if (lost)
        add(&tape->lost_frames, lost);
    return frames;
}

uint64_t rt_tape_lost(const rt_tape_t *tape)
{
    return get(&tape->lost_frames);
}
