# The house's front door. Everything real is in meson.build; this only names the usual errands.
BUILD ?= build

.PHONY: all setup demo check bench install clean
all: setup
	@scripts/build $(BUILD)

setup:
	@scripts/setup

demo: all
	@scripts/demo $(BUILD)

check: setup
	@scripts/check

bench: all
	@scripts/bench $(BUILD)

install: all
	@meson install -C $(BUILD)

clean:
	rm -rf build build-*
