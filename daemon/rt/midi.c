#include "midi.h"

/* libjack's functions, as midiport.h has them. */
typedef struct {
    uint32_t time;
    size_t size;
    uint8_t *data;
} event_t;
typedef uint32_t (*get_event_count_t)(void *buffer);
typedef int (*event_get_t)(event_t *event, void *buffer, uint32_t index);

/* Messages of up to three bytes; longer ones are no business of ours. */
int midi_hear(midi_t *midi, void *buffer)
{
    uint32_t count = buffer ? ((get_event_count_t)midi->get_event_count)(buffer) : 0;
    uint64_t before = get(&midi->written), written = before;
    for (uint32_t i = 0; i < count && written - get(&midi->read) < MIDI_MESSAGES; i++) {
        event_t event;
        if (((event_get_t)midi->event_get)(&event, buffer, i) || !event.size || event.size > 3)
            continue;
        uint8_t *message = midi->messages[written++ % MIDI_MESSAGES];
        memset(message, 0, 3);
        memcpy(message, event.data, event.size);
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
