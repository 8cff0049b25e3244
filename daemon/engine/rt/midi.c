#include "midi.h"

#include "libjack.h"

/* Of any channel; all other messages are ignored. */
#define NOTE_OFF 0x80
#define NOTE_ON 0x90
#define CONTROL_CHANGE 0xB0

#define FIRST_NOTE (MIDI_CONTROLLERS / 2) /* in latest */

/* Make a note's end one without velocity, which MIDI has it mean too; 0: it is something else. */
static int tidy(uint8_t *message, const jack_midi_event_t *event)
{
    if (event->size != 3)
        return 0;
    memcpy(message, event->buffer, 3);
    uint8_t kind = message[0] & 0xF0;
    if (kind == NOTE_OFF) {
        message[0] |= NOTE_ON;
        message[2] = 0;
    }
    return kind == NOTE_OFF || kind == NOTE_ON || kind == CONTROL_CHANGE;
}

static void spill(midi_t *midi, const uint8_t *message)
{
    uint32_t controller = (uint32_t)(message[0] & 0x0F) << 7 | (message[1] & 0x7F);
    if ((message[0] & 0xF0) == NOTE_ON)
        controller += FIRST_NOTE;
    atomic_store(&midi->latest[controller], message[2] | 0x80);
}

int midi_hear(midi_t *midi, void *buffer)
{
    uint32_t count = ((midi_get_event_count_f *)midi->get_event_count)(buffer);
    uint64_t before = get(&midi->written), written = before;
    uint64_t spilled_before = get(&midi->spilled), spilled = spilled_before;
    for (uint32_t i = 0; i < count; i++) {
        jack_midi_event_t event;
        uint8_t message[3];
        if (((midi_event_get_f *)midi->event_get)(&event, buffer, i) || !tidy(message, &event))
            continue;
        /* While anything is left in `latest`, what is newer goes there too. */
        if (spilled == get(&midi->settled) && written - get(&midi->read) < MIDI_MESSAGES)
            memcpy(midi->messages[written++ % MIDI_MESSAGES], message, 3);
        else if (!((message[1] | message[2]) & 0x80)) {
            spill(midi, message);
            spilled++;
        }
    }
    if (written == before && spilled == spilled_before)
        return 0;
    /* Sequentially consistent, as the reader's: it sees these, or we see that it had read all. */
    atomic_store(&midi->written, written);
    atomic_store(&midi->spilled, spilled);
    return atomic_load(&midi->read) == before && atomic_load(&midi->settled) == spilled_before;
}

static int read_latest(midi_t *midi, uint8_t *message)
{
    if (midi->next == 0)
        midi->settling = atomic_load(&midi->spilled);
    if (midi->settling == get(&midi->settled))
        return 0;
    while (midi->next < MIDI_CONTROLLERS) {
        uint32_t controller = midi->next++;
        uint8_t value = atomic_exchange(&midi->latest[controller], 0);
        if (value) {
            message[0] = (controller < FIRST_NOTE ? CONTROL_CHANGE : NOTE_ON) | (controller >> 7 & 0x0F);
            message[1] = controller & 0x7F;
            message[2] = value & 0x7F;
            return 1;
        }
    }
    midi->next = 0;
    atomic_store(&midi->settled, midi->settling);
    return 0;
}

int midi_read(midi_t *midi, uint8_t *message)
{
    uint64_t read = get(&midi->read);
    do {
        if (read != atomic_load(&midi->written)) {
            memcpy(message, midi->messages[read % MIDI_MESSAGES], 3);
            atomic_store(&midi->read, read + 1);
            return 1;
        }
        if (read_latest(midi, message))
            return 1;
    } while (read != atomic_load(&midi->written) ||
             get(&midi->settled) != atomic_load(&midi->spilled));
    return 0;
}

int midi_queue(midi_t *midi, const uint8_t *message)
{
    uint64_t queued = get(&midi->queued);
    if (queued - get(&midi->sent) >= MIDI_MESSAGES)
        return 0;
    memcpy(midi->outgoing[queued % MIDI_MESSAGES], message, 3);
    set(&midi->queued, queued + 1);
    return 1;
}

void midi_send(midi_t *midi, void *buffer)
{
    midi_event_write_f *event_write = (midi_event_write_f *)midi->event_write;
    ((midi_clear_buffer_f *)midi->clear_buffer)(buffer);
    uint64_t sent = get(&midi->sent), queued = get(&midi->queued);
    while (sent < queued && !event_write(buffer, 0, midi->outgoing[sent % MIDI_MESSAGES], 3))
        sent++;
    set(&midi->sent, sent);
}
