# The images of the services, a target for each: `docker build --target downloader .`, or all by
# `docker-compose build`. For BuildKit and the classic builder.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Backtraces keep the names of functions, not their lines: a tenth of the size.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
# What others wrote changes seldom: built for crates without content, it is a layer of its own.
COPY Cargo.toml Cargo.lock ./
COPY common/Cargo.toml common/
COPY downloader/Cargo.toml downloader/
COPY backfiller/Cargo.toml backfiller/
COPY restreamer/Cargo.toml restreamer/
COPY tests/Cargo.toml tests/
RUN for crate in common downloader backfiller restreamer tests; do \
        mkdir $crate/src && echo 'fn main() {}' >$crate/src/main.rs && : >$crate/src/lib.rs; \
    done \
    && cargo build --release --locked -p downloader -p backfiller -p restreamer \
    && rm -r */src
COPY common common
COPY downloader downloader
COPY backfiller backfiller
COPY restreamer restreamer
# Cargo takes what is older than its last build for built.
RUN mkdir tests/src && : >tests/src/lib.rs \
    && find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --release --locked -p downloader -p backfiller -p restreamer

FROM debian:bookworm-slim AS base
# telnet is for the backdoor: `docker-compose exec downloader telnet 127.0.0.1 PORT`.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates inetutils-telnet \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt
COPY deploy/healthy /usr/local/bin/
# The root file system is read-only; yt-dlp keeps a cache below HOME.
ENV DOWNLOADER_BASE_DIR=/segments BACKFILLER_BASE_DIR=/segments RESTREAMER_BASE_DIR=/segments HOME=/tmp
WORKDIR /segments
STOPSIGNAL SIGTERM

FROM base AS downloader
# YouTube changes every few weeks, and yt-dlp with it: Debian's is too old. Without it (an empty
# YT_DLP) the image has no Python. Another version there renews this layer alone.
ARG YT_DLP=yt-dlp[default]
RUN if [ -n "$YT_DLP" ]; then \
        apt-get update \
        && apt-get install -y --no-install-recommends python3-minimal python3-venv \
        && python3 -m venv /opt/yt-dlp \
        && /opt/yt-dlp/bin/pip install --no-cache-dir --disable-pip-version-check $YT_DLP \
        && ln -s /opt/yt-dlp/bin/yt-dlp /usr/local/bin/yt-dlp \
        && rm -rf /var/lib/apt/lists/* /var/cache/apt /opt/yt-dlp/lib/python3*/site-packages/pip; \
    fi
COPY --from=build /build/target/release/downloader /usr/local/bin/
USER 1000:1000
EXPOSE 8001
ENTRYPOINT ["downloader"]

FROM base AS backfiller
COPY --from=build /build/target/release/backfiller /usr/local/bin/
USER 1000:1000
EXPOSE 8002
ENTRYPOINT ["backfiller"]

# For cuts, frames and waveforms: ffmpeg and what it is linked with. With all that Debian's package
# asks for (drivers of graphics cards, mostly) the image would be twice as large.
FROM base AS ffmpeg
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg
RUN mkdir -p /out/bin /out/lib \
    && cp /usr/bin/ffmpeg /usr/bin/ffprobe /out/bin/ \
    && ldd /usr/bin/ffmpeg /usr/bin/ffprobe | awk '/=> \//{print $3}' | sort -u \
        | xargs cp -L -t /out/lib/

FROM base AS restreamer
COPY --from=ffmpeg /out/bin/ /usr/bin/
# Where the loader looks for any name.
COPY --from=ffmpeg /out/lib/ /usr/lib/
RUN ffmpeg -version >/dev/null && ffprobe -version >/dev/null
COPY --from=build /build/target/release/restreamer /usr/local/bin/
USER 1000:1000
EXPOSE 8000
ENTRYPOINT ["restreamer"]
