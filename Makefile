# The verbs that people type. Meson and Ninja do the work; tools/ has the scripts.
.DEFAULT_GOAL := help
.PHONY: help check
help:
	@sed -n 's/^## //p' Makefile
## make check    build with ASan and UBSan, run every test
check:
	@tools/check
