/* A ring of planar samples between one writer and one reader, addressed by absolute position. */

#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef _Atomic uint64_t counter_t;

/* Position p of channel c stands at data[c * capacity + p % capacity]. */
typedef struct {
    float *data;
    uint32_t channels;
    uint32_t capacity; /* a power of two */
    counter_t written; /* position up to which it was written */
    counter_t read;    /* position up to which it was read */
} ring_t;

static inline uint64_t get(const counter_t *counter)
{
    return atomic_load_explicit(counter, memory_order_acquire);
}

static inline void set(counter_t *counter, uint64_t value)
{
    atomic_store_explicit(counter, value, memory_order_release);
}

/* Every counter has one writer, so an addition need not be atomic as a whole. */
static inline void add(counter_t *counter, uint64_t value)
{
    set(counter, get(counter) + value);
}

static inline int ring_init(ring_t *ring, uint32_t channels, uint32_t capacity)
{
    ring->channels = channels;
    ring->capacity = capacity;
    size_t bytes = (size_t)channels * capacity * sizeof(float);
    ring->data = calloc(1, bytes);
    /* Touch every page: the server's thread must not be the first to, for it would wait. */
    for (size_t i = 0; ring->data && i < bytes; i += 1024)
        ((volatile char *)ring->data)[i] = 0;
    return ring->data != NULL;
}

static inline float *ring_channel(const ring_t *ring, uint32_t c)
{
    return ring->data + (size_t)c * ring->capacity;
}

/* How many of the frames from position on lie before the ring's end. */
static inline uint32_t ring_before_end(const ring_t *ring, uint64_t position, uint32_t frames)
{
    uint32_t start = (uint32_t)position & (ring->capacity - 1);
    return frames < ring->capacity - start ? frames : ring->capacity - start;
}

static inline void ring_copy_in(const ring_t *ring, uint32_t c, uint64_t position,
                                const float *src, uint32_t frames)
{
    uint32_t first = ring_before_end(ring, position, frames);
    float *data = ring_channel(ring, c);
    memcpy(data + (position & (ring->capacity - 1)), src, first * sizeof(float));
    memcpy(data, src + first, (frames - first) * sizeof(float));
}

static inline void ring_copy_out(const ring_t *ring, uint32_t c, uint64_t position, float *dst,
                                 uint32_t frames)
{
    uint32_t first = ring_before_end(ring, position, frames);
    const float *data = ring_channel(ring, c);
    memcpy(dst, data + (position & (ring->capacity - 1)), first * sizeof(float));
    memcpy(dst + first, data, (frames - first) * sizeof(float));
}

/* The reader: copy up to max frames of each channel, channel c to dst + c * stride, and return how many.
 * The writer may have overwritten what is older than the ring meanwhile: ring_take() says. */
static inline uint32_t ring_look(const ring_t *ring, float *dst, uint32_t stride, uint32_t max)
{
    uint64_t position = get(&ring->read);
    uint64_t there = get(&ring->written) - position;
    uint32_t most = max < stride ? max : stride;
    most = most < ring->capacity ? most : ring->capacity;
    uint32_t frames = there < most ? (uint32_t)there : most;
    for (uint32_t c = 0; c < ring->channels; c++)
        ring_copy_out(ring, c, position, dst + (size_t)c * stride, frames);
    atomic_thread_fence(memory_order_acquire);
    return frames;
}

/* The reader: go on by the frames that were copied. Whatever the writer, who has got as far as
 * `touched`, may have overwritten is silence, so every frame is there, in its place, and no frame is
 * torn. Returns how many frames that were. */
static inline uint32_t ring_take(ring_t *ring, float *dst, uint32_t stride, uint32_t frames,
                                 uint64_t touched)
{
    uint64_t position = get(&ring->read);
    uint64_t safe = touched > ring->capacity ? touched - ring->capacity : 0;
    uint64_t behind = safe > position ? safe - position : 0;
    uint32_t lost = behind < frames ? (uint32_t)behind : frames;
    for (uint32_t c = 0; lost && c < ring->channels; c++)
        memset(dst + (size_t)c * stride, 0, lost * sizeof(float));
    set(&ring->read, position + frames);
    return lost;
}
