#include "midi.h"

/* libjack's functions, as midiport.h has them. */
typedef struct {
    uint32_t time;
    size_t size;
    uint8_t *data;
} event_t;
typedef uint32_t (*get_event_count_t)(void *buffer);
typedef int (*event_get_t)(event_t *event, void *buffer, uint32_t index);

#define CONTROL_CHANGE 0xB0 /* of any channel; nothing else is any business of ours */

int midi_hear(midi_t *midi, void *buffer)
{
    uint32_t count = ((get_event_count_t)midi->get_event_count)(buffer);
    uint64_t before = get(&midi->written), written = before;
    for (uint32_t i = 0; i < count && written - get(&midi->read) < MIDI_MESSAGES; i++) {
        event_t event;
        if (((event_get_t)midi->event_get)(&event, buffer, i) || event.size != 3 ||
            (event.data[0] & 0xF0) != CONTROL_CHANGE)
            continue;
        memcpy(midi->messages[written++ % MIDI_MESSAGES], event.data, 3);
    }
    set(&midi->written, written);
    return written != before;
}

int midi_read(midi_t *midi, uint8_t *message)
{
    uint64_t read = get(&midi->read);
    if (read == get(&midi->written))
        return 0;
    memcpy(message, midi->messages[read % MIDI_MESSAGES], 3);
    set(&midi->read, read + 1);
    return 1;
}
