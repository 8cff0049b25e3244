/* MIDI's control changes from the server's thread to whoever reads them; see rt.h for what others call. */

#include <stdint.h>

#include "ring.h"

/* Messages that wait to be read; what comes while they are so many is lost. */
#define MIDI_MESSAGES 256

typedef struct {
    uintptr_t port, get_event_count, event_get; /* 0: there is no port */
    uint8_t messages[MIDI_MESSAGES][3];
    counter_t written, read;
} midi_t;

/* The server's thread: keep what the port's buffer has; tell whether there was anything. */
int midi_hear(midi_t *midi, void *buffer);
/* Another thread: fetch the oldest message; 0 when there is none. */
int midi_read(midi_t *midi, uint8_t *message);
