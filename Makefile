# The verbs that people type. Meson and Ninja do the work; tools/ has the scripts. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run demo build check bench torture fuzz lint deb install clean

help:
	@sed -n 's/^## //p' Makefile

## make demo     install what is missing, build, run hub and proxy with simulated mail (data below ./var)
demo:
	@tools/bootstrap build
	@tools/run --demo
## make run      the same without simulated mail, ready for a real Postfix
run:
	@tools/bootstrap build
	@tools/run
## make build    install what the build needs, build optimised programs (build/release)
build:
	@tools/bootstrap build
	@tools/build release
## make check    install the test tools, build with ASan and UBSan, run every test
check:
	@tools/check
## make bench    measure, print the table with the bars beside it
bench:
	@tools/bench
## make torture  the long test: random kills of hub and proxy (TORTURE_SECONDS, 600 by default)
torture:
	@tools/torture
## make fuzz     run each fuzz harness (FUZZ_SECONDS each, 60 by default)
fuzz:
	@tools/fuzz
## make lint     formatting, clang-tidy, include order, manual pages, shell scripts
lint:
	@tools/lint
## make deb      two Debian packages below dist/
deb:
	@tools/deb
## make install  install below PREFIX (/usr/local; DESTDIR is honoured), settings in /etc when there are none yet
install: build
	@tools/build release --install
## make clean    remove what was built (build/deps stays: it was downloaded)
clean:
	@find build -mindepth 1 -maxdepth 1 ! -name deps -exec rm -rf {} + 2>/dev/null || true
	@rm -rf dist
