#define _GNU_SOURCE /* sem_clockwait */
#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rt.h"

#define MAX_CHANNELS 16
/* How long an offline bounce waits for the engine before it counts the cycle as late. */
#define FREEWHEEL_PATIENCE_MS 10000

typedef _Atomic uint64_t counter_t;

/* Planar samples; position p of channel c stands at data[c * capacity + p % capacity]. */
typedef struct {
    float *data;
    uint32_t channels;
    uint32_t capacity;
    counter_t written; /* frames from the start up to which the ring was written */
    counter_t read;    /* frames from the start up to which it was read */
} ring_t;

struct rt {
    float *(*port_get_buffer)(void *port, uint32_t nframes);
    void *in_ports[MAX_CHANNELS];
    void *out_ports[MAX_CHANNELS];
    ring_t in;  /* written by the server's thread, read by the engine's */
    ring_t out; /* the other way round */
    sem_t heard;    /* posted after each cycle */
    sem_t produced; /* posted after each rt_write() */
    atomic_int freewheeling;
    atomic_int released;
    counter_t periods, late_periods, late_frames, lost_frames;
};

static uint64_t get(const counter_t *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

static void set(counter_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_release);
}

/* Every counter has one writer, so an addition need not be atomic as a whole. */
static void add(counter_t *counter, uint64_t value)
{
    set(counter, get(counter) + value);
}

static float *channel(const ring_t *ring, uint32_t c)
{
    return ring->data + (size_t)c * ring->capacity;
}

static void copy_in(const ring_t *ring, uint32_t c, uint64_t position, const float *src,
                    uint32_t frames)
{
    uint32_t start = (uint32_t)position & (ring->capacity - 1);
    uint32_t first = frames < ring->capacity - start ? frames : ring->capacity - start;
    memcpy(channel(ring, c) + start, src, first * sizeof(float));
    memcpy(channel(ring, c), src + first, (frames - first) * sizeof(float));
}

static void copy_out(const ring_t *ring, uint32_t c, uint64_t position, float *dst,
                     uint32_t frames)
{
    uint32_t start = (uint32_t)position & (ring->capacity - 1);
    uint32_t first = frames < ring->capacity - start ? frames : ring->capacity - start;
    memcpy(dst, channel(ring, c) + start, first * sizeof(float));
    memcpy(dst + first, channel(ring, c), (frames - first) * sizeof(float));
}

static int ring_init(ring_t *ring, uint32_t channels, uint32_t capacity)
{
    ring->channels = channels;
    ring->capacity = capacity;
    ring->data = calloc((size_t)channels * capacity, sizeof(float));
    return ring->data != NULL;
}

rt_t *rt_new(uint32_t inputs, uint32_t outputs, uint32_t in_capacity, uint32_t out_capacity,
             uint64_t prefill)
{
    rt_t *rt = calloc(1, sizeof *rt);
    if (!rt)
        return NULL;
    sem_init(&rt->heard, 0, 0);
    sem_init(&rt->produced, 0, 0);
    if (inputs > MAX_CHANNELS || outputs > MAX_CHANNELS
        || !ring_init(&rt->in, inputs, in_capacity)
        || !ring_init(&rt->out, outputs, out_capacity)) {
        rt_free(rt);
        return NULL;
    }
    set(&rt->out.written, prefill);
    return rt;
}

void rt_free(rt_t *rt)
{
    if (!rt)
        return;
    sem_destroy(&rt->heard);
    sem_destroy(&rt->produced);
    free(rt->in.data);
    free(rt->out.data);
    free(rt);
}

void rt_bind(rt_t *rt, uintptr_t port_get_buffer, const uintptr_t *in_ports,
             const uintptr_t *out_ports)
{
    rt->port_get_buffer = (float *(*)(void *, uint32_t))port_get_buffer;
    for (uint32_t c = 0; c < rt->in.channels; c++)
        rt->in_ports[c] = (void *)in_ports[c];
    for (uint32_t c = 0; c < rt->out.channels; c++)
        rt->out_ports[c] = (void *)out_ports[c];
}

/* Wait for the semaphore; 0 when the time is over. */
static int wait_ms(sem_t *semaphore, uint32_t ms)
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

static void hear(rt_t *rt, uint32_t nframes)
{
    for (uint32_t done = 0; done < nframes;) {
        uint32_t frames = nframes - done < RT_MAX_CHUNK ? nframes - done : RT_MAX_CHUNK;
        uint64_t position = get(&rt->in.written);
        /* rt_read() must see what was written before it sees any of this overwrite it. */
        atomic_thread_fence(memory_order_release);
        for (uint32_t c = 0; c < rt->in.channels; c++)
            copy_in(&rt->in, c, position, rt->port_get_buffer(rt->in_ports[c], nframes) + done,
                    frames);
        set(&rt->in.written, position + frames);
        done += frames;
    }
    sem_post(&rt->heard);
}

/* Nothing is in real time during a bounce, so this is the one place where a cycle waits. */
static void await_engine(rt_t *rt, uint64_t until)
{
    while (get(&rt->out.written) < until && !rt->released
           && wait_ms(&rt->produced, FREEWHEEL_PATIENCE_MS))
        ;
}

/* Play what is there; where the engine is late, silence, and what it brings later is skipped. */
static void play(rt_t *rt, uint32_t nframes)
{
    uint64_t position = get(&rt->out.read);
    uint64_t written = get(&rt->out.written);
    uint64_t there = written > position ? written - position : 0;
    uint32_t ready = there < nframes ? (uint32_t)there : nframes;
    for (uint32_t c = 0; c < rt->out.channels; c++) {
        float *dst = rt->port_get_buffer(rt->out_ports[c], nframes);
        copy_out(&rt->out, c, position, dst, ready);
        memset(dst + ready, 0, (nframes - ready) * sizeof(float));
    }
    set(&rt->out.read, position + nframes);
    if (ready < nframes) {
        add(&rt->late_periods, 1);
        add(&rt->late_frames, nframes - ready);
    }
}

int rt_process(uint32_t nframes, void *arg)
{
    rt_t *rt = arg;
    hear(rt, nframes);
    if (rt->freewheeling)
        await_engine(rt, get(&rt->out.read) + nframes);
    play(rt, nframes);
    add(&rt->periods, 1);
    return 0;
}

void rt_freewheel(int starting, void *arg)
{
    rt_t *rt = arg;
    rt->freewheeling = starting;
}

uintptr_t rt_process_address(void)
{
    return (uintptr_t)rt_process;
}

uintptr_t rt_freewheel_address(void)
{
    return (uintptr_t)rt_freewheel;
}

/* ---- the engine thread ---- */

void rt_wait(rt_t *rt, uint32_t timeout_ms)
{
    wait_ms(&rt->heard, timeout_ms);
}

/* The server's thread overwrites what is older than the ring. Whatever it may have touched while
 * we copied is silence, so every frame is there, in its place, and no frame is torn. */
uint32_t rt_read(rt_t *rt, float *dst, uint32_t stride, uint32_t max)
{
    uint64_t position = get(&rt->in.read);
    uint64_t there = get(&rt->in.written) - position;
    uint32_t most = max < rt->in.capacity ? max : rt->in.capacity;
    uint32_t frames = there < most ? (uint32_t)there : most;
    for (uint32_t c = 0; c < rt->in.channels; c++)
        copy_out(&rt->in, c, position, dst + (size_t)c * stride, frames);
    atomic_thread_fence(memory_order_acquire);
    uint64_t safe = get(&rt->in.written) + RT_MAX_CHUNK;
    safe = safe > rt->in.capacity ? safe - rt->in.capacity : 0;
    uint64_t behind = safe > position ? safe - position : 0;
    uint32_t lost = behind < frames ? (uint32_t)behind : frames;
    if (lost) {
        for (uint32_t c = 0; c < rt->in.channels; c++)
            memset(dst + (size_t)c * stride, 0, lost * sizeof(float));
        add(&rt->lost_frames, lost);
    }
    set(&rt->in.read, position + frames);
    return frames;
}

void rt_write(rt_t *rt, const float *src, uint32_t stride, uint32_t frames)
{
    uint64_t position = get(&rt->out.written);
    for (uint32_t c = 0; c < rt->out.channels; c++)
        copy_in(&rt->out, c, position, src + (size_t)c * stride, frames);
    set(&rt->out.written, position + frames);
    sem_post(&rt->produced);
}

/* ---- any thread ---- */

void rt_counters(const rt_t *rt, rt_counters_t *out)
{
    out->periods = get(&rt->periods);
    out->frames = get(&rt->in.written);
    out->late_periods = get(&rt->late_periods);
    out->late_frames = get(&rt->late_frames);
    out->lost_frames = get(&rt->lost_frames);
}

int rt_is_freewheeling(const rt_t *rt)
{
    return rt->freewheeling;
}

void rt_release(rt_t *rt)
{
    rt->released = 1;
    sem_post(&rt->produced);
}
