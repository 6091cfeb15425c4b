//! downloader.
