# The commands of this project; `make` lists them.

CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help demo test compose-test bench fmt lint

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: ## a live stream, recorded by one node and replicated by another (SECONDS=40 to end by itself)
	@scripts/need cc=gcc ffmpeg=ffmpeg
	@echo "building; the first time takes some minutes (make test goes on from what it builds)"
	$(CARGO) build --workspace --bins
	@SECONDS="$(SECONDS)" target/debug/demo

test: ## all tests, on real processes, real video and a real Postgres
	@scripts/need cc=gcc ffmpeg=ffmpeg openssl=openssl /usr/sbin/nginx=nginx /usr/lib/*/faketime/libfaketime.so.1=faketime /usr/lib/postgresql/*/bin/postgres=postgresql \
	    chromium=chromium mpv=mpv node=nodejs npm=npm python3=python3 \
	    telnet=telnet nc=netcat-openbsd script=bsdutils \
	    docker-compose=docker-compose prometheus=prometheus promtool=prometheus systemd-analyze=systemd
	@scripts/web-tools
	@scripts/python-tools
	$(CARGO) build --workspace --bins
	# Most tests wait more than they work.
	TESTS_SKIP_BUILD=1 RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( 2 * $$(nproc) ))} $(CARGO) test --workspace

compose-test: ## docker-compose.yml for real: two nodes in containers, where a Docker engine can be had
	@scripts/compose-test

bench: ## our figures beside others' for the same work (PART=day for one part; docs/PERFORMANCE.md)
	@scripts/need cc=gcc ffmpeg=ffmpeg /usr/sbin/nginx=nginx wrk=wrk rclone=rclone openssl=openssl curl=curl aria2c=aria2
	$(CARGO) build --release --workspace --bins
	@test -x target/bench/streamlink/bin/streamlink || { python3 -m venv target/bench/streamlink && \
	    target/bench/streamlink/bin/pip install --quiet streamlink==8.6.3; } || echo "streamlink is left out" >&2
	@PART="$(PART)" target/release/bench

fmt: ## put the code into shape
	$(CARGO) fmt

lint: ## what .ci/run checks before the tests
	$(CARGO) fmt --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
