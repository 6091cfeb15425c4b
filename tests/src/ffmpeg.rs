//! Real video: a live HLS stream made by ffmpeg in real time and served by an [`Origin`], so
//! that faults can be put in its way. What comes out is looked at with [`probe`] and [`decode`].

mod probe;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::eventually;
use crate::origin::{MasterPlaylist, Origin};
use crate::process::Process;

pub use probe::{Decoded, Probe, Stream, decode, probe};

/// Frames per second: few, so that a test's video costs little.
const FRAME_RATE: u32 = 25;

/// Debian's `fonts-dejavu-core`, which comes with ffmpeg's libraries.
const FONTS: [&str; 2] = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
];

/// How long ffmpeg may take to end when it is asked to.
const FINISH: Duration = Duration::from_secs(15);

/// What segments are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// MPEG-TS.
    Ts,
    /// fMP4 with an `EXT-X-MAP`.
    Fmp4,
}

/// What ffmpeg makes.
#[derive(Debug, Clone)]
pub struct LiveHlsOptions {
    /// Each segment has exactly so many seconds.
    pub segment_seconds: u32,
    /// So many segments are in the list (and as many again are kept behind it).
    pub list_size: u32,
    /// B-frames in a row.
    pub b_frames: u32,
    /// What segments are.
    pub container: Container,
    /// Encrypts with AES-128 by this key.
    pub key: Option<[u8; 16]>,
    /// ffmpeg ends after so many seconds, whatever happens to the test.
    pub max_seconds: u32,
}

impl Default for LiveHlsOptions {
    /// MPEG-TS segments of 2 s, six in the list, two B-frames, for at most 10 minutes.
    fn default() -> LiveHlsOptions {
        LiveHlsOptions {
            segment_seconds: 2,
            list_size: 6,
            b_frames: 2,
            container: Container::Ts,
            key: None,
            max_seconds: 600,
        }
    }
}

/// A live HLS stream of a test picture and a tone, in real time. Dropping it ends ffmpeg.
#[derive(Debug)]
pub struct LiveHls {
    // Dropped in this order: the writer, the server, the files.
    ffmpeg: Process,
    origin: Origin,
    directory: TempDir,
}

impl LiveHls {
    /// Starts ffmpeg and an origin that serves what it writes under `/live/`.
    ///
    /// # Panics
    /// If ffmpeg is not there: says what to install.
    pub async fn start(options: LiveHlsOptions) -> LiveHls {
        require("ffmpeg");
        let directory = TempDir::with_prefix("live-hls-").expect("a temporary directory");
        let mut command = Command::new("ffmpeg");
        command
            .args(arguments(&options, directory.path()))
            .env("TZ", "UTC") // its dates are in local time
            .current_dir(directory.path());
        let origin = Origin::start().await;
        origin.serve_dir("/live/", directory.path());
        let master = MasterPlaylist::new().unnamed("index.m3u8", 500_000);
        origin.put_playlist("/live/master.m3u8", master.render());
        LiveHls {
            ffmpeg: Process::spawn("ffmpeg", command),
            origin,
            directory,
        }
    }

    /// The media playlist's path at the origin.
    #[must_use]
    pub fn path(&self) -> &'static str {
        "/live/index.m3u8"
    }

    /// The media playlist's URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.origin.url(self.path())
    }

    /// The URL of a master playlist with the one rendition that there is.
    #[must_use]
    pub fn master_url(&self) -> String {
        self.origin.url("/live/master.m3u8")
    }

    /// The origin, to put faults in the way.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The directory that ffmpeg writes.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until the playlist lists a segment, and returns its text.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn wait_first_playlist(&mut self, timeout: Duration) -> String {
        let file = self.directory.path().join("index.m3u8");
        eventually(timeout, "ffmpeg's first playlist", async || {
            if !self.ffmpeg.is_running() {
                return Err(format!("ffmpeg has ended: {:?}", self.ffmpeg.log()));
            }
            let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
            let listed = text.contains("#EXTINF");
            listed.then_some(text).ok_or("no segment yet".to_owned())
        })
        .await
    }

    /// What ffmpeg said last, if it has ended on its own.
    #[must_use]
    pub fn ended(&mut self) -> Option<String> {
        let ended = !self.ffmpeg.is_running();
        ended.then(|| self.ffmpeg.log().pop().unwrap_or_default())
    }

    /// Ends ffmpeg in good order: the last segment is written and listed.
    ///
    /// # Panics
    /// If it does not end in time.
    pub async fn finish(&mut self) -> ExitStatus {
        self.ffmpeg.terminate();
        self.ffmpeg.wait(FINISH).await
    }

    /// What ffmpeg complained about.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.ffmpeg.log()
    }
}

/// The command line, and the files that it needs beside it.
fn arguments(options: &LiveHlsOptions, directory: &Path) -> Vec<OsString> {
    let mut picture = format!("testsrc2=size=320x180:rate={FRAME_RATE}");
    if let Some(font) = FONTS.iter().find(|font| Path::new(font).is_file()) {
        picture.push_str(&format!(
            ",drawtext=fontfile={font}:text='%{{gmtime}}':fontsize=20:fontcolor=white:box=1\
             :boxcolor=black:x=8:y=h-28"
        ));
    }
    let sound = "sine=frequency=440:beep_factor=4:sample_rate=48000";
    let frames = FRAME_RATE * options.segment_seconds;
    let mut line = String::from("-hide_banner -nostdin -nostats -loglevel warning");
    // ffmpeg's own limit: nothing of a test that was itself killed goes on for ever.
    let input = format!("-re -t {} -f lavfi -i", options.max_seconds);
    let mut arguments: Vec<OsString> = words(&format!("{line} {input}"));
    arguments.push(picture.into());
    arguments.extend(words(&input));
    arguments.push(sound.into());

    line.clear();
    // Key frames exactly at the ends of segments, and nowhere else. One thread: the picture is
    // small, and the machine has others to serve.
    let b_frames = options.b_frames;
    let _ = write!(
        line,
        "-c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv420p -bf {b_frames} -g {frames} \
         -keyint_min {frames} -sc_threshold 0 -c:a aac -b:a 64k -ac 2 "
    );
    let _ = write!(
        line,
        "-f hls -hls_time {} -hls_list_size {} -hls_delete_threshold {} \
         -hls_flags program_date_time+delete_segments+omit_endlist+temp_file ",
        options.segment_seconds, options.list_size, options.list_size
    );
    if let Some(key) = options.key {
        std::fs::write(directory.join("key.bin"), key).expect("a file in a temporary directory");
        let path = directory.join("key.bin");
        let information = format!("key.bin\n{}\n", path.display());
        std::fs::write(directory.join("key.info"), information)
            .expect("a file in a temporary directory");
        line.push_str("-hls_key_info_file key.info ");
    }
    line.push_str(match options.container {
        Container::Ts => "-hls_segment_type mpegts -hls_segment_filename %d.ts index.m3u8",
        Container::Fmp4 => {
            "-hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 \
             -hls_segment_filename %d.m4s index.m3u8"
        }
    });
    arguments.extend(words(&line));
    arguments
}

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

/// Panics with one clear line if a program of ffmpeg is not there.
pub(crate) fn require(program: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    assert!(
        found,
        "{program} is missing and this test needs it: apt-get install ffmpeg"
    );
}
