/* What the server's thread does with a tape; see rt.h, which comes before this, for the others. */

#pragma once

#include <stdint.h>

#include "effects.h"
#include "ring.h"

#define NOT_TAPED 0xff

struct rt_tape {
    ring_t ring; /* the inputs, then the outputs that are taped; written by the server's thread */
    uint32_t inputs;
    uint8_t channels[RT_MAX_CHANNELS]; /* of each of the client's outputs, or NOT_TAPED */
    int before_gains;
    counter_t begun; /* position up to which the cycle that is under way writes */
    counter_t lost_frames;
};

/* Begin a cycle: all that nothing is kept for is silent in it. */
void tape_begin(rt_tape_t *tape, uint32_t nframes) NONBLOCKING;
/* Keep frames of an input, or of an output, from `at` on in the cycle. */
void tape_input(rt_tape_t *tape, uint32_t input, uint32_t at, const float *samples,
                uint32_t frames) NONBLOCKING;
void tape_output(rt_tape_t *tape, uint32_t output, uint32_t at, const float *samples,
                 uint32_t frames) NONBLOCKING;
void tape_end(rt_tape_t *tape) NONBLOCKING;
