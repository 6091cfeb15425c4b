use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use futures::StreamExt as _;
use tempfile::TempDir;

use super::*;
use crate::error::ApiError;

/// A program that stands in for ffmpeg: a shell script. Its arguments begin with eight that every
/// run has.
fn program(directory: &TempDir, script: &str) -> PathBuf {
    let path = directory.path().join("ffmpeg");
    std::fs::write(&path, format!("#!/bin/sh\nshift 8\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn pool(directory: &TempDir, script: &str, processes: usize, queue: usize) -> Arc<Ffmpeg> {
    let program = program(directory, script);
    Arc::new(Ffmpeg::new(program, processes, queue, 0))
}

/// True iff a process is there, as a zombie too.
fn exists(pid: &str) -> bool {
    Path::new("/proc").join(pid.trim()).exists()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_at_work_share_the_processors() {
    let directory = TempDir::new().unwrap();
    let mut ffmpeg = Ffmpeg::new(program(&directory, "cat"), 2, 8, 0);
    ffmpeg.threads = 8;
    let (ffmpeg, mut at_work) = (Arc::new(ffmpeg), Vec::new());
    let endless = || Input::Stream(futures::stream::pending().boxed());
    let first = ffmpeg.job();
    for share in [8, 8, 4, 2, 2, 1, 1] {
        let job = match at_work.len() {
            0 | 1 => first.clone(),
            _ => ffmpeg.job(),
        };
        assert_eq!(job.threads(), share);
        at_work.push(job.run("test", vec![], endless()));
    }
    assert_eq!(first.threads(), 1);
    drop(at_work);
    ffmpeg.ended().await;
    // Others will come back.
    assert_eq!(ffmpeg.job().threads(), 1);
}

/// Where a run says that it may run.
async fn processors(job: &Job, purpose: &'static str) -> String {
    let input = Input::Bytes(vec![Bytes::from("begins when it has read this")]);
    let said = job.run(purpose, vec![], input).whole(1000).await.unwrap();
    String::from_utf8(said.to_vec()).unwrap()
}

#[tokio::test]
async fn edges_of_several_cuts_leave_one_processor_to_those_who_answer() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(
        &directory,
        "[ $1 ] || cat >/dev/null\n\
         while grep Cpus_allowed: /proc/self/status && [ $1 ]; do sleep 0.01; done",
        1000,
        1000,
    );
    // The last line, of however many.
    let count = |lines: &str| -> u32 {
        let (_, mask) = lines.rsplit_once(':').unwrap();
        mask.chars()
            .filter_map(|c| c.to_digit(16))
            .map(u32::count_ones)
            .sum()
    };
    let all = rustix::thread::sched_getaffinity(None).unwrap().count();
    // Alone it has all.
    assert_eq!(count(&processors(&ffmpeg.job(), "cut").await), all);
    let again = vec!["again".into()];
    let mut first = ffmpeg.job().run("cut", again, Input::None);
    let said = first.next().await.unwrap().unwrap();
    assert_eq!(count(&String::from_utf8_lossy(&said)), all);
    // More than there are processors.
    let others: Vec<_> = (0..all)
        .map(|_| {
            let endless = Input::Stream(futures::stream::pending().boxed());
            ffmpeg.job().run("test", vec![], endless)
        })
        .collect();
    let makes_room = async {
        while let Some(said) = first.next().await {
            if count(&String::from_utf8_lossy(&said.unwrap())) == (all - 1).max(1) {
                return;
            }
        }
    };
    let makes_room = tokio::time::timeout(Duration::from_secs(20), makes_room);
    makes_room.await.expect("the first makes room");
    let beside = processors(&ffmpeg.job(), "cut").await;
    assert_eq!(count(&beside), (all - 1).max(1), "{beside}");
    // Not so what takes minutes.
    assert!(count(&processors(&ffmpeg.job(), "encode").await) >= all);
    drop((first, others));
    ffmpeg.ended().await;
}

#[tokio::test]
async fn what_is_fed_comes_back_while_more_is_fed() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(&directory, "cat", 1, 0);
    // Far more than pipes and channels hold.
    let pieces: Vec<Bytes> = (0..200_u8).map(|n| Bytes::from(vec![n; 100_000])).collect();
    let all = ffmpeg
        .job()
        .run("test", vec![], Input::Bytes(pieces.clone()));
    assert!(all.whole(usize::MAX).await.unwrap() == pieces.concat());
    let stream = futures::stream::iter(pieces.clone()).map(Ok).boxed();
    let all = ffmpeg.job().run("test", vec![], Input::Stream(stream));
    assert!(all.whole(usize::MAX).await.unwrap() == pieces.concat());
    let some = ffmpeg.job().run("test", vec![], Input::Bytes(pieces));
    let error = some.whole(1000).await.unwrap_err();
    assert!(
        matches!(error, FfmpegError::TooMuch { limit: 1000 }),
        "{error}"
    );
    ffmpeg.ended().await;
}

#[tokio::test]
async fn who_has_enough_does_not_wait_for_the_end() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(&directory, "printf 123456789; exec sleep 60", 1, 1);
    for wanted in [4, 9] {
        let run = ffmpeg.job().run("test", vec![], Input::None);
        let begun = Instant::now();
        let some = run.enough(9, |begun| (begun.len() > 3).then_some(wanted));
        assert_eq!(some.await.unwrap(), &b"123456789"[..wanted]);
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    // Who wants too much hears so at once; and less may come than is wanted.
    let run = ffmpeg.job().run("test", vec![], Input::None);
    let error = run.enough(9, |_| Some(10)).await.unwrap_err();
    assert!(
        matches!(error, FfmpegError::TooMuch { limit: 9 }),
        "{error}"
    );
    let ffmpeg = pool(&directory, "printf 123456789", 1, 0);
    let run = ffmpeg.job().run("test", vec![], Input::None);
    let all = run.enough(10, |_| Some(10)).await;
    assert_eq!(all.unwrap(), "123456789");
    ffmpeg.ended().await;
}

#[tokio::test]
async fn a_program_that_has_had_enough_is_no_failure_and_one_without_input_ends() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(
        &directory,
        "head -c 3; exec <&-; echo; cat </dev/null",
        1,
        0,
    );
    let input = Input::Bytes(vec![Bytes::from(vec![b'x'; 10_000_000])]);
    let whole = ffmpeg.job().run("test", vec![], input).whole(10).await;
    assert_eq!(whole.unwrap(), "xxx\n");
    let none = ffmpeg
        .job()
        .run("test", vec![], Input::None)
        .whole(10)
        .await;
    assert_eq!(none.unwrap(), "\n");
}

#[tokio::test]
async fn a_failure_is_the_last_item_and_says_what_was_said_last() {
    let directory = TempDir::new().unwrap();
    let script = "printf part; i=0; while [ $i -lt 500 ]; do echo line $i >&2; i=$((i+1)); done\n\
                  echo the reason >&2; exit 3";
    let ffmpeg = pool(&directory, script, 1, 0);
    let mut run = ffmpeg.job().run("test-failure", vec![], Input::None);
    assert_eq!(run.next().await.unwrap().unwrap(), "part");
    let error = run.next().await.unwrap().unwrap_err().to_string();
    assert!(run.next().await.is_none());
    assert!(
        error.contains('3') && error.ends_with("| the reason"),
        "{error}"
    );
    assert!(error.len() < 3000 && !error.contains("line 0 "), "{error}");
    assert_eq!(FAILURES.with_label_values(&["test-failure"]).get(), 1);
    // A stream that fails ends the run, too.
    let ffmpeg = pool(&directory, "cat", 1, 0);
    let pieces = vec![Ok(Bytes::from("x")), Err(io::Error::other("the disk"))];
    let input = Input::Stream(futures::stream::iter(pieces).boxed());
    let error = ffmpeg
        .job()
        .run("test", vec![], input)
        .whole(10)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("the disk"), "{error}");
    // And a program that is not there is named.
    let nowhere = Arc::new(Ffmpeg::new("/nowhere/ffmpeg".into(), 1, 0, 1));
    let error = nowhere
        .job()
        .run("test", vec![], Input::None)
        .whole(10)
        .await;
    let error = ApiError::from(error.unwrap_err());
    assert_eq!(error.status(), 503);
    assert!(error.to_string().contains("/nowhere/ffmpeg"), "{error}");
}

#[tokio::test]
async fn whoever_is_not_wanted_any_more_is_killed_and_reaped() {
    let directory = TempDir::new().unwrap();
    // Writes for ever, and ignores what can be ignored.
    let script = "trap '' TERM PIPE; echo $$; while :; do echo more; done";
    let ffmpeg = pool(&directory, script, 1, 1);
    let mut run = ffmpeg.job().run("test-drop", vec![], Input::None);
    let first = run.next().await.unwrap().unwrap();
    let pid = String::from_utf8(first.to_vec()).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    assert!(exists(&pid));
    // One that waits behind it goes without having run.
    let waiting = ffmpeg.job().run("test-drop", vec![], Input::None);
    drop(waiting);
    drop(run);
    until("the process to be gone", || !exists(&pid)).await;
    ffmpeg.ended().await;
    assert_eq!(RUNS.with_label_values(&["test-drop"]).get(), 1);
    // It did what it was for as long as somebody wanted it.
    assert_eq!(FAILURES.with_label_values(&["test-drop"]).get(), 0);
}

#[tokio::test]
async fn what_takes_too_long_is_killed() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(&directory, "echo $$; exec sleep 100", 1, 0);
    let limit = Duration::from_millis(300);
    let mut run = ffmpeg
        .job()
        .run_for(Some(limit), "test", vec![], Input::None);
    let pid = run.next().await.unwrap().unwrap();
    let pid = String::from_utf8(pid.to_vec()).unwrap();
    let error = run.next().await.unwrap().unwrap_err();
    assert!(matches!(error, FfmpegError::TooLong(_)), "{error}");
    assert!(!exists(&pid));
}

/// Time goes on at once where all wait for it.
#[tokio::test(start_paused = true)]
async fn what_stands_still_is_killed() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(&directory, "exec sleep 1000", 1, 0);
    // Nor does it matter that more is fed than it reads.
    let input = Input::Bytes(vec![Bytes::from(vec![0; 1 << 20])]);
    let mut running = ffmpeg.job().run("test", vec![], input);
    let begun = tokio::time::Instant::now();
    let error = running.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "ffmpeg stood still for 120 s");
    // Not that it was fed at first.
    assert!(begun.elapsed() < Duration::from_secs(121));
    assert!(running.next().await.is_none());
    // None is left that this would wait for.
    ffmpeg.ended().await;
}

#[tokio::test]
async fn jobs_are_refused_when_too_many_wait_and_those_admitted_get_all_they_need() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = pool(&directory, "cat", 1, 1);
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
    let held = futures::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    let (first, second) = (ffmpeg.job(), ffmpeg.job());
    let running = first.run("test", vec![], Input::Stream(held.boxed()));
    let text = |text: &'static str| Input::Bytes(vec![Bytes::from(text)]);
    let waiting = second.run("test", vec![], text("second"));
    let refused = ffmpeg.job().run("test", vec![], text("third"));
    let error = refused.whole(10).await.unwrap_err();
    assert!(matches!(error, FfmpegError::Busy));
    assert_eq!(ApiError::from(error).status(), 503);
    // Those who were admitted may have more, at once, than there are permits.
    let more = [
        first.run("test", vec![], text("a")),
        second.run("test", vec![], text("b")),
    ];
    sender.send(Ok(Bytes::from("first"))).await.unwrap();
    drop(sender);
    assert_eq!(running.whole(10).await.unwrap(), "first");
    assert_eq!(waiting.whole(10).await.unwrap(), "second");
    for (run, expected) in more.into_iter().zip(["a", "b"]) {
        assert_eq!(run.whole(10).await.unwrap(), expected);
    }
    drop((first, second));
    ffmpeg.ended().await;
    // All room is free again.
    let again = ffmpeg.job().run("test", vec![], text("again"));
    assert_eq!(again.whole(10).await.unwrap(), "again");
}

#[tokio::test]
async fn to_ask_what_ffmpeg_knows_takes_no_request_s_room() {
    let directory = TempDir::new().unwrap();
    let script = r#"case $1 in -h) touch "$0.asked"; exec sleep 60;; esac; echo made"#;
    let ffmpeg = pool(&directory, script, 1, 0);
    let asking = tokio::spawn(Arc::clone(&ffmpeg).check());
    let asked = directory.path().join("ffmpeg.asked");
    until("it was not asked", || asked.exists()).await;
    let made = ffmpeg.job().run("test", vec!["x".into()], Input::None);
    assert_eq!(made.whole(100).await.unwrap(), "made\n");
    asking.abort();
    ffmpeg.ended().await;
}

/// Gives its input back, and says which process it is.
const WHO: &str = r#"echo $$ >>"$0.pids"; cat; echo $$"#;

fn started(directory: &TempDir) -> Vec<String> {
    let pids = std::fs::read_to_string(directory.path().join("ffmpeg.pids"));
    let pids = pids.unwrap_or_default();
    pids.lines().map(str::to_owned).collect()
}

async fn who(ffmpeg: &Arc<Ffmpeg>, argument: &str) -> String {
    let input = Input::Bytes(vec!["input ".into()]);
    let run = ffmpeg.job().run("frame", vec![argument.into()], input);
    let said = run.whole(100).await.unwrap();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    let pid = said.strip_prefix("input ");
    pid.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[tokio::test]
async fn who_asks_again_finds_a_process_that_has_started_already() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = Arc::new(Ffmpeg::new(program(&directory, WHO), 1, 0, 2));
    let first = who(&ffmpeg, "a").await;
    let has_started = |count| started(&directory).len() == count;
    until("none waits", || has_started(2)).await;
    let second = who(&ffmpeg, "a").await;
    assert_eq!(started(&directory)[..2], [first, second]);
    // One that was killed by others is no answer.
    until("none waits", || has_started(3)).await;
    let third = started(&directory)[2].clone();
    let killed = std::process::Command::new("kill")
        .args(["-9", &third])
        .status();
    assert!(killed.unwrap().success());
    until("it is there", || !exists(&third)).await;
    assert_ne!(who(&ffmpeg, "a").await, third);
    // Other arguments, another process; the oldest goes for the newest.
    until("none waits", || has_started(5)).await;
    let oldest = started(&directory)[4].clone();
    for (argument, count) in [("b", 7), ("c", 9)] {
        who(&ffmpeg, argument).await;
        until("none waits", || has_started(count)).await;
    }
    until("the oldest stays", || !exists(&oldest)).await;
    // None is left.
    ffmpeg.ended().await;
    let left: Vec<String> = started(&directory)
        .into_iter()
        .filter(|pid| exists(pid))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
