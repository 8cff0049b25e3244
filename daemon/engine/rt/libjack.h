/* What is called of libjack, as <jack/jack.h> and <jack/midiport.h> declare it.
 *
 * Those need not be installed: functions come by address. Where they are included before this,
 * their types are taken, and a test compares the functions (tests/sanitizers/).
 */

#pragma once

#include <stddef.h>
#include <stdint.h>

#include "effects.h"

#ifndef __jack_types_h__
typedef struct _jack_port jack_port_t;
typedef struct _jack_client jack_client_t;
typedef uint32_t jack_nframes_t;
typedef uint32_t jack_port_id_t;
typedef uint64_t jack_time_t;
typedef enum { JackCaptureLatency, JackPlaybackLatency } jack_latency_callback_mode_t;
typedef enum JackStatus { JackFailure = 1 } jack_status_t; /* and others */
typedef struct _jack_latency_range {
    jack_nframes_t min, max;
} jack_latency_range_t;
#endif

#ifndef __JACK_MIDIPORT_H
typedef struct _jack_midi_event {
    jack_nframes_t time;
    size_t size;
    unsigned char *buffer;
} jack_midi_event_t;
#endif

/* Called in the server's real-time thread. */
typedef void *port_get_buffer_f(jack_port_t *port, jack_nframes_t nframes) NONBLOCKING;
typedef jack_nframes_t last_frame_time_f(const jack_client_t *client) NONBLOCKING;
typedef jack_time_t get_time_f(void) NONBLOCKING;
typedef uint32_t midi_get_event_count_f(void *buffer) NONBLOCKING;
typedef int midi_event_get_f(jack_midi_event_t *event, void *buffer, uint32_t index) NONBLOCKING;
typedef void midi_clear_buffer_f(void *buffer) NONBLOCKING;
typedef int midi_event_write_f(void *buffer, jack_nframes_t time, const unsigned char *data,
                               size_t size) NONBLOCKING;

typedef void port_latency_range_f(jack_port_t *port, jack_latency_callback_mode_t mode,
                                  jack_latency_range_t *range);

/* The layout that servers use. */
_Static_assert(sizeof(jack_nframes_t) == 4 && sizeof(jack_port_id_t) == 4, "");
_Static_assert(sizeof(jack_time_t) == 8, "");
_Static_assert(sizeof(jack_latency_callback_mode_t) == sizeof(int), "");
_Static_assert(sizeof(jack_status_t) == sizeof(int), "");
_Static_assert(JackCaptureLatency == 0 && JackPlaybackLatency == 1, "");
_Static_assert(sizeof(jack_latency_range_t) == 8, "");
_Static_assert(offsetof(jack_latency_range_t, min) == 0, "");
_Static_assert(offsetof(jack_latency_range_t, max) == 4, "");
_Static_assert(offsetof(jack_midi_event_t, time) == 0, "");
_Static_assert(offsetof(jack_midi_event_t, size) == sizeof(size_t), "");
_Static_assert(offsetof(jack_midi_event_t, buffer) == 2 * sizeof(size_t), "");
