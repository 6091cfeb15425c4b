//! Half an hour of 1080p60 with sound, as segments of a node: twenty seconds, coded once, again and
//! again with times that go on.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tests::content::sha256_base64;
use tokio::process::Command;

/// Segments of two seconds.
const SEGMENTS: usize = 900;
/// How often the twenty seconds are there.
const TIMES: usize = 90;

/// Half an hour from 2026-01-02T00 on.
pub(crate) struct Video {
    files: Vec<String>,
    bytes: u64,
    list: PathBuf,
    _own: TempDir,
}

impl Video {
    /// Puts it into a quality's directory.
    pub(crate) async fn make(quality: &Path) -> Video {
        let own = TempDir::with_prefix("video-").expect("a temporary directory");
        ffmpeg(
            own.path(),
            "-f lavfi -i testsrc2=size=1920x1080:rate=60,noise=alls=6:allf=t -f lavfi -i \
             sine=frequency=440:beep_factor=4:sample_rate=48000 -t 20 -c:v libx264 -preset ultrafast \
             -bf 2 -b:v 5M -maxrate 5M -bufsize 5M -g 120 -keyint_min 120 -sc_threshold 0 \
             -pix_fmt yuv420p -c:a aac -b:a 160k -ac 2 once.ts",
        )
        .await;
        ffmpeg(
            own.path(),
            &format!(
                "-stream_loop {} -i once.ts -c copy -f segment -segment_time 1.9 -segment_format mpegts %d.ts",
                TIMES - 1
            ),
        )
        .await;
        let directory = quality.join("2026-01-02T00");
        fs::create_dir_all(&directory).expect("a directory");
        let (mut files, mut bytes, mut list) = (Vec::new(), 0, String::new());
        for number in 0..SEGMENTS {
            let content = fs::read(own.path().join(format!("{number}.ts"))).expect("a segment");
            let name = format!(
                "{:02}:{:02}.000000-2.0-full-{}.ts",
                number / 30,
                number % 30 * 2,
                sha256_base64(&content)
            );
            let path = directory.join(name);
            bytes += content.len() as u64;
            fs::write(&path, content).expect("a file");
            list.push_str(&format!("file '{}'\n", path.display()));
            files.push(path.display().to_string());
        }
        let list_path = own.path().join("list");
        fs::write(&list_path, list).expect("a file");
        Video {
            files,
            bytes,
            list: list_path,
            _own: own,
        }
    }

    /// The segments' files, in order of time.
    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A list of the files as ffmpeg's concat demuxer reads it.
    pub(crate) fn list(&self) -> String {
        self.list.display().to_string()
    }
}

async fn ffmpeg(directory: &Path, arguments: &str) {
    let mut command = Command::new("ffmpeg");
    command
        .args("-nostdin -loglevel error".split(' '))
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .kill_on_drop(true);
    let status = command.status().await.expect("ffmpeg");
    assert!(status.success(), "ffmpeg {arguments}: {status}");
}
