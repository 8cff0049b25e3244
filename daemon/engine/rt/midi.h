/* MIDI's control changes and notes from the server's thread to the thread that reads them, and back; see
 * rt.h for what others call. */

#include <stdint.h>

#include "effects.h"
#include "ring.h"

/* Messages that wait to be read, in their order; of what comes while they are so many, the last
 * value of each controller is kept. */
#define MIDI_MESSAGES 256
#define MIDI_CONTROLLERS (2 * 16 * 128) /* of all channels, then the notes of all channels */

typedef struct {
    uintptr_t port, get_event_count, event_get; /* 0: there is no port */
    uint8_t messages[MIDI_MESSAGES][3];
    counter_t written, read;
    _Atomic uint8_t latest[MIDI_CONTROLLERS]; /* with bit 7 set; 0: there is none */
    counter_t spilled, settled; /* how many went there, and how many of those were read */
    uint32_t next;              /* the reader's place in latest, */
    uint64_t settling;          /* and how many had gone there when it began */
    uintptr_t out_port, clear_buffer, event_write; /* 0: there is no port to send through */
    uint8_t outgoing[MIDI_MESSAGES][3];
    counter_t queued, sent;
} midi_t;

/* The server's thread: keep what the port's buffer has; return whether the reader, which had read all
 * before, is to be woken. */
int midi_hear(midi_t *midi, void *buffer) NONBLOCKING;
/* Another thread: fetch the oldest message; 0 when there is none. */
int midi_read(midi_t *midi, uint8_t *message);
/* Another thread: queue a message of three bytes; 0 while as many wait as there is room for. */
int midi_queue(midi_t *midi, const uint8_t *message);
/* The server's thread: send what waits, as much as the port's buffer takes. */
void midi_send(midi_t *midi, void *buffer) NONBLOCKING;
