#define _GNU_SOURCE /* sem_clockwait */
#include "link.h"

#include <errno.h>
#include <math.h>
#include <time.h>

/* Fades that an engine which was late must be in time for before it is heard again. */
#define CALM_FADES 8

static int is_capacity(uint32_t frames)
{
    return frames >= 2 * CHUNK && !(frames & (frames - 1));
}

static int are_sound(uint32_t inputs, uint32_t outputs, const uint8_t *slots,
                     const rt_link_sizes_t *sizes)
{
    int sound = inputs <= RT_MAX_CHANNELS && outputs <= RT_MAX_CHANNELS
                && is_capacity(sizes->in_capacity) && is_capacity(sizes->out_capacity)
                && sizes->prefill <= sizes->out_capacity
                && sizes->delay <= sizes->in_capacity - CHUNK;
    for (uint32_t c = 0; sound && c < outputs; c++)
        sound = slots[c] < RT_MAX_CHANNELS;
    return sound;
}

rt_link_t *rt_link_new(uint32_t inputs, uint32_t outputs, const uint8_t *slots,
                       const rt_link_sizes_t *sizes)
{
    rt_link_t *link = are_sound(inputs, outputs, slots, sizes) ? calloc(1, sizeof *link) : NULL;
    if (!link)
        return NULL;
    sem_init(&link->heard, 0, 0);
    sem_init(&link->produced, 0, 0);
    if (!ring_init(&link->in, inputs, sizes->in_capacity)
        || !ring_init(&link->out, outputs, sizes->out_capacity)) {
        rt_link_free(link);
        return NULL;
    }
    memcpy(link->slots, slots, outputs);
    set(&link->out.written, sizes->prefill);
    link->delay = sizes->delay;
    link->fade = sizes->fade;
    link->reserve = sizes->reserve;
    link->quantum = sizes->quantum;
    link->wet = 1;
    link->calm = UINT32_MAX;
    return link;
}

void rt_link_free(rt_link_t *link)
{
    if (!link)
        return;
    sem_destroy(&link->heard);
    sem_destroy(&link->produced);
    free(link->in.data);
    free(link->out.data);
    free(link);
}

int wait_ms(sem_t *semaphore, uint32_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (sem_clockwait(semaphore, CLOCK_MONOTONIC, &until))
        if (errno != EINTR)
            return 0;
    return 1;
}

/* ---- the server's real-time thread ---- */

void link_hear(rt_link_t *link, const chunk_t *in, uint32_t frames)
{
    uint64_t position = get(&link->in.written);
    /* rt_link_read() must see what was written before it sees any of this overwrite it. */
    atomic_thread_fence(memory_order_release);
    for (uint32_t c = 0; c < link->in.channels; c++)
        ring_copy_in(&link->in, c, position, in->samples[c], frames);
    set(&link->in.written, position + frames);
}

void link_heard(rt_link_t *link, uint32_t nframes)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    link->period = nframes;
    /* After the frames of the cycle: rt_link_counters() reads them in the other order. */
    set(&link->heard_ns, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    if (get(&link->in.written) - get(&link->in.read) + nframes > link->quantum)
        sem_post(&link->heard);
}

/* Nothing is in real time during a bounce, so this is the one place where a cycle waits: for as long
 * as the engine takes, which on a small or stopped machine may be long. rt_link_release() ends it. */
void link_await(rt_link_t *link, uint32_t nframes)
{
    uint64_t read = get(&link->out.read), most = read + link->out.capacity;
    uint64_t until = read + nframes + link->reserve;
    until = until < most ? until : most; /* more there cannot be */
    /* Sequentially consistent, as in rt_link_write(): one of the two sees the other. */
    link->is_awaited = 1;
    while (link->out.written < until && !link->released)
        sem_wait(&link->produced);
    link->is_awaited = 0;
}

/* An engine that has left less than the reserve will be late: what it left is the time to fade to
 * the dry signal, so that nothing is ever cut off. */
void link_begin(rt_link_t *link, uint32_t nframes)
{
    uint64_t position = get(&link->out.read), written = get(&link->out.written);
    uint64_t there = written > position ? written - position : 0;
    int short_of = there < (uint64_t)nframes + link->reserve;
    if (short_of)
        link->calm = 0;
    else if (link->calm < CALM_FADES * link->fade)
        link->calm += nframes;
    int late = link->calm < CALM_FADES * link->fade;
    int dry = late || link->dry_reasons;
    link->wet_step = (dry ? -1.0f : 1.0f) / (float)(short_of ? link->reserve : link->fade);
}

void link_end(rt_link_t *link)
{
    if (link->missing) {
        add(&link->late_periods, 1);
        add(&link->late_frames, link->missing);
        link->missing = 0;
    }
}

/* Move the fade on; give how loud the stems are in each frame, and whether that changes. */
static int fade(rt_link_t *link, float *gain, uint32_t frames)
{
    int changes = 0;
    for (uint32_t i = 0; i < frames; i++) {
        float wet = link->wet + link->wet_step;
        wet = wet < 0 ? 0 : wet > 1 ? 1 : wet;
        changes |= wet != link->wet || (wet != 0 && wet != 1);
        link->wet = wet;
        gain[i] = wet;
    }
    for (uint32_t i = 0; changes && i < frames; i++)
        gain[i] = 0.5f - 0.5f * cosf((float)M_PI * gain[i]);
    return changes || gain[0] != 1;
}

void link_dry(const rt_link_t *link, uint32_t c, float *dst, uint32_t frames)
{
    if (c >= link->in.channels)
        return;
    uint64_t position = get(&link->out.read);
    uint64_t before = link->delay > position ? link->delay - position : 0;
    uint32_t silent = before < frames ? (uint32_t)before : frames;
    memset(dst, 0, silent * sizeof(float));
    ring_copy_out(&link->in, c, position + silent - link->delay, dst + silent, frames - silent);
}

uint32_t link_play(rt_link_t *link, chunk_t *out, uint32_t frames)
{
    float gain[CHUNK] = {1}, dry[CHUNK];
    uint64_t position = get(&link->out.read), written = get(&link->out.written);
    uint64_t there = written > position ? written - position : 0;
    uint32_t ready = there < frames ? (uint32_t)there : frames;
    uint32_t bad = 0;
    link->missing += frames - ready;
    for (uint32_t c = 0; c < link->out.channels; c++) {
        float *samples = out->samples[link->slots[c]];
        ring_copy_out(&link->out, c, position, samples, ready);
        memset(samples + ready, 0, (frames - ready) * sizeof(float));
        bad += sanitise(samples, samples, ready, 0);
    }
    if (fade(link, gain, frames)) {
        for (uint32_t c = 0; c < link->out.channels; c++)
            for (uint32_t i = 0; i < frames; i++)
                out->samples[link->slots[c]][i] *= gain[i];
        uint32_t all = link->out.channels, heard = link->in.channels;
        for (uint32_t c = 0; c < heard && heard <= all; c++) {
            float *last = out->samples[link->slots[all - heard + c]];
            link_dry(link, c, dry, frames);
            for (uint32_t i = 0; i < frames; i++)
                last[i] += (1 - gain[i]) * dry[i];
        }
        add(&link->dry_frames, frames);
    }
    set(&link->out.read, position + frames);
    return bad;
}

/* ---- the engine thread ---- */

void rt_link_wait(rt_link_t *link, uint32_t timeout_ms)
{
    wait_ms(&link->heard, timeout_ms);
    while (!sem_trywait(&link->heard)) /* all that was heard meanwhile is read at once */
        ;
}

uint32_t rt_link_read(rt_link_t *link, float *dst, uint32_t stride, uint32_t max)
{
    uint32_t frames = ring_look(&link->in, dst, stride, max);
    uint64_t touched = get(&link->in.written) + CHUNK;
    uint32_t lost = ring_take(&link->in, dst, stride, frames, touched);
    if (lost)
        add(&link->lost_frames, lost);
    return frames;
}

uint32_t rt_link_write(rt_link_t *link, const float *src, uint32_t stride, uint32_t frames)
{
    uint64_t position = get(&link->out.written), read = get(&link->out.read);
    uint64_t end = read + link->out.capacity; /* what is beyond would overwrite what is not played */
    uint64_t room = end > position ? end - position : 0;
    uint32_t wanted = frames < stride ? frames : stride;
    uint32_t fits = wanted < room ? wanted : (uint32_t)room;
    uint64_t late = read > position ? read - position : 0; /* never played */
    uint32_t skipped = late < fits ? (uint32_t)late : fits;
    for (uint32_t c = 0; c < link->out.channels; c++)
        ring_copy_in(&link->out, c, position + skipped, src + (size_t)c * stride + skipped,
                     fits - skipped);
    link->out.written = position + fits;
    if (link->is_awaited)
        sem_post(&link->produced);
    return fits;
}

/* ---- any thread ---- */

void rt_link_set_dry(rt_link_t *link, uint32_t reason, int on)
{
    if (on)
        atomic_fetch_or(&link->dry_reasons, reason);
    else
        atomic_fetch_and(&link->dry_reasons, ~reason);
}

void rt_link_hold(rt_link_t *link, int hold)
{
    link->held = hold;
}

void rt_link_counters(const rt_link_t *link, rt_link_counters_t *out)
{
    /* First of all: with the frames of a later cycle it makes the time that is left seem shorter,
     * never longer. */
    out->heard_ns = get(&link->heard_ns);
    out->period = link->period;
    out->frames = get(&link->in.written);
    out->late_periods = get(&link->late_periods);
    out->late_frames = get(&link->late_frames);
    out->lost_frames = get(&link->lost_frames);
    out->dry_frames = get(&link->dry_frames);
    out->delivered = get(&link->out.written);
}

void rt_link_release(rt_link_t *link)
{
    link->released = 1;
    sem_post(&link->produced);
}
