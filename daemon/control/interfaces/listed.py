"""The list of all interfaces, each by the section of the configuration that declares it."""

from collections.abc import Iterator

from stemd.daemon.control.interfaces.control_section import ControlSection
from stemd.daemon.control.interfaces.interface import Interface
from stemd.daemon.control.interfaces.metrics_section import MetricsSection
from stemd.daemon.control.interfaces.midi_section import MidiSection
from stemd.daemon.control.interfaces.osc_section import OscSection
from stemd.daemon.control.interfaces.web_section import WebSection
from stemd.daemon.sections import Section


class Interfaces(Section):
    """One line for each interface, except `nsm`, which has no section."""

    control: ControlSection = ControlSection()
    midi: MidiSection = MidiSection()
    osc: OscSection = OscSection()
    metrics: MetricsSection = MetricsSection()
    web: WebSection = WebSection()

    def interfaces(self) -> Iterator[tuple[str, Interface]]:
        """Yield the name and the section of each interface."""
        for section in Interfaces.model_fields:
            yield section, getattr(self, section)
