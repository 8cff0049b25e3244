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
