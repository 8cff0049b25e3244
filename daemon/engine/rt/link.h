/* What the server's thread does with a link; see rt.h for the others. */

#include <math.h>
#include <semaphore.h>
#include <stdint.h>

#include "effects.h"
#include "ring.h"
#include "rt.h"

/* The server's thread handles so many frames at once, whatever the period: so far the engine's
 * thread keeps away from it in the input ring. */
#define CHUNK 256

typedef struct {
    float samples[RT_MAX_CHANNELS][CHUNK];
} chunk_t;

/* Beyond this (120 dB above full scale) a sample is an accident, and its square no float. */
#define LOUDEST 1e6f

/* Copy samples, in place if need be. What is no number or absurdly large becomes silence, and so
 * does what is smaller than the smallest. Returns how many were no number or absurdly large. */
static inline uint32_t sanitise(float *dst, const float *src, uint32_t frames, float smallest)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < frames; i++) {
        float level = fabsf(src[i]);
        int is_sane = level < LOUDEST; /* false for NaN */
        dst[i] = is_sane && level >= smallest ? src[i] : 0;
        bad += !is_sane;
    }
    return bad;
}

/* Who changes it wins: a link plays or is taken back, never both. */
enum { LINK_NEW, LINK_COMING, LINK_PLAYING, LINK_WITHDRAWN };

struct rt_link {
    atomic_int phase;
    ring_t in;  /* written by the server's thread, read by the engine's */
    ring_t out; /* the other way round */
    uint64_t delay;
    uint32_t fade, reserve, quantum;
    uint8_t slots[RT_MAX_CHANNELS]; /* where in a chunk each channel of the output goes */
    sem_t heard;    /* posted when the engine is to be woken */
    sem_t produced; /* posted after an rt_link_write() that is awaited */
    atomic_int released;
    atomic_int is_awaited; /* a cycle waits for `produced` */
    _Atomic uint32_t dry_reasons;
    atomic_int held; /* it is not to be heard yet, however warm it is */
    counter_t late_periods, late_frames, lost_frames, dry_frames;
    counter_t heard_ns; /* when the last cycle was heard */
    _Atomic uint32_t period; /* frames of that cycle */
    /* Of the server's thread alone: */
    float wet;       /* 1: the stems are heard; 0: the dry signal; between: a fade */
    float wet_step;  /* by which it moves each frame */
    uint32_t calm;   /* frames since the engine was late last */
    uint32_t missing; /* frames that the engine owes in this cycle */
};

/* Append a chunk of input. */
void link_hear(rt_link_t *link, const chunk_t *in, uint32_t frames) NONBLOCKING;
/* After a cycle: wake the engine, unless it can wait for the next one. */
void link_heard(rt_link_t *link, uint32_t nframes) NONBLOCKING;
/* Wait until the engine has delivered what a cycle plays; for an offline bounce. */
void link_await(rt_link_t *link, uint32_t nframes);
/* Decide what is to be heard in a cycle, then give it chunk by chunk, the channels that it has, and
 * return how many of the engine's samples were bad: a fade to the dry signal would not end them. */
void link_begin(rt_link_t *link, uint32_t nframes) NONBLOCKING;
/* The input of so long ago in what the next link_play() gives; silence before there was any. Of a
 * channel that the link has not, nothing changes. */
void link_dry(const rt_link_t *link, uint32_t c, float *dst, uint32_t frames) NONBLOCKING;
uint32_t link_play(rt_link_t *link, chunk_t *out, uint32_t frames) NONBLOCKING;
void link_end(rt_link_t *link) NONBLOCKING;

/* Wait for the semaphore; 0 when the time is over. */
int wait_ms(sem_t *semaphore, uint32_t ms);
