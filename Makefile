# make setup | demo | test | lint | docs | docs-check | bench | vot | picker | colcon | fuzz | soak | load | audit | clean;
# every target sets up what it needs.
#   PYTHON=/path/to/it    interpreter of the environment (default: python3.11, 3.12 or 3.13, or python3 where ROS 2 is sourced)
#   make demo SOURCE=DIR  a sequence folder or video in place of the simulated camera
#   make soak MINUTES=60  how long to torment a node
#   ARGS="..."            further arguments for test, demo, bench and soak

PYTHON ?= $(if $(ROS_DISTRO),python3,$(or $(shell \
  for found in python3.11 python3.12 python3.13; do $$found -c "" 2>/dev/null && echo $$found && break; done),python3))
BIN := $(CURDIR)/.venv/bin
VOT := build/vot-env/bin/vot

# Without this profile Fast DDS drops most thermal frames (docs/decisions.md). ROS 2 up to Jazzy
# knows the first name only, and Humble has its own name for staying on this machine.
ifneq ($(filter humble iron jazzy,$(ROS_DISTRO)),)
export FASTRTPS_DEFAULT_PROFILES_FILE ?= $(CURDIR)/config/fastdds.xml
else
export FASTDDS_DEFAULT_PROFILES_FILE ?= $(CURDIR)/config/fastdds.xml
endif
ifeq ($(ROS_DISTRO),humble)
export ROS_LOCALHOST_ONLY ?= 1
else
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
endif
# Set by the ROS wheels of another environment, it would keep ours from finding its libraries.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint docs docs-check bench vot picker colcon fuzz soak load audit clean

help:
	@sed -n 's/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST)) | head -6

setup:
	@$(PYTHON) -c "" 2>/dev/null || { \
	  echo "setup: error: cannot run $(PYTHON); apt install python3-venv python3-dev, or name another Python with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) tools/embedded_ros/setup_env.py

demo: setup
	$(BIN)/python -m mlss_tracker_ros.demo --out build/demo $(if $(SOURCE),--source "$(SOURCE)") $(ARGS)

test: setup $(VOT)
	$(BIN)/python -m pytest $(ARGS)

# The VOT toolkit in an environment of its own: it wants another OpenCV.
$(VOT): tools/vot/requirements.txt | setup
	$(BIN)/python -m venv build/vot-env
	build/vot-env/bin/pip install -q -r $<
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	@test -x $(BIN)/mkdocs || $(BIN)/pip install -q -c tools/embedded_ros/constraints.txt "mlss_tracker_ros[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet $(ARGS)
	@echo "written: build/site/index.html"

docs-check: setup  # runs the commands of README and tutorial
	$(BIN)/python tools/check_commands.py $(ARGS)

bench: setup
	$(BIN)/mlss bench $(ARGS)

vot: setup $(VOT)
	$(BIN)/python -m pytest test/core/test_eval_vot.py $(ARGS)

picker: setup  # the real mouse too: needs Xvfb, xdotool and libGL
	@test -d build/opencv_window || $(BIN)/pip install -q --no-deps --target build/opencv_window \
	  "$$(sed -n 's/^opencv-contrib-python-headless==/opencv-contrib-python==/p' tools/embedded_ros/constraints.txt)"
	$(BIN)/python -m pytest test/ros/test_box_picker.py test/ros/test_real_mouse.py $(ARGS)

colcon: setup
	PATH="$(BIN):$$PATH" AMENT_PREFIX_PATH="$${AMENT_PREFIX_PATH:-$(CURDIR)/.venv}" \
	  $(BIN)/colcon --log-base build/log build --base-paths . --build-base build/colcon --install-base install

# Over 10,000 examples for converters, boxes, parameters and readers; then 2,400 hostile
# messages to live nodes.
fuzz: setup
	FUZZ_EXAMPLES=600 FUZZ_MESSAGES=1200 $(BIN)/python -m pytest --timeout 3600 \
	  test/core/test_fuzz_core.py test/core/test_fuzz_files.py test/ros/test_fuzz_messages.py \
	  test/ros/test_hostile.py $(ARGS)

MINUTES ?= 10
soak: setup
	$(BIN)/python tools/reliability/soak.py --minutes $(MINUTES) $(ARGS)

audit: setup  # needs the OSV database; what could not be looked up is a failure
	@test -x build/audit-env/bin/pip-audit || { $(BIN)/python -m venv build/audit-env && \
	  build/audit-env/bin/pip install -q pip-audit==2.10.1; }
	build/audit-env/bin/pip-audit --strict --vulnerability-service osv --disable-pip --no-deps \
	  --requirement tools/embedded_ros/constraints.txt $(ARGS)

load: setup
	$(BIN)/python tools/reliability/load.py $(ARGS)

clean:
	rm -rf .venv build install log *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
