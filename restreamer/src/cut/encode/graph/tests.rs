use super::*;

const PIXELS: Option<&str> = Some("yuv420p");
const SOUND: Option<&str> = Some("anull");

fn scene(start: i64, end: i64, join: Join) -> Scene {
    Scene {
        start,
        last: end - 3600,
        end,
        frames: [Frame::of(3600, 1); 2],
        join,
    }
}

fn fade(millis: i64) -> Join {
    Join::Fade {
        transition: Transition::of("wipeleft"),
        length: TimeDelta::milliseconds(millis),
    }
}

fn holds(graph: &str, parts: &[&str]) {
    for part in parts {
        assert!(graph.contains(part), "{part}: {graph}");
    }
}

#[test]
fn one_scene_is_cut_out() {
    let graph = graph(&[scene(90_000, 270_000, Join::Hard)], PIXELS, SOUND);
    assert_eq!(
        graph,
        "[0:v:0]scale,format=yuv420p,split=1[s0];[s0]trim=start_pts=90000:end_pts=266401,setpts=PTS-90000,settb=AVTB[v0];\
         [v0]null[j1];[j1]null[v];\
         [0:a:0]asplit=1[t0];[t0]atrim=start=1.000000:end=3.000000,asetpts=PTS-1.000000/TB,\
         aresample=async=1000:first_pts=0:flags=+res,apad=whole_dur=2.000000,atrim=end=2.000000[a0];[a0]anull[a]"
    );
}

#[test]
fn scenes_are_joined_and_cross_faded() {
    let scenes = [
        scene(0, 180_000, fade(490)),
        scene(900_000, 1_080_000, Join::Hard),
        scene(1_800_000, 1_980_000, Join::Hard),
    ];
    let video = graph(&scenes, PIXELS, None);
    // 12 pictures are 0.48 s.
    let steady = "fps=90000000/3600000:start_time=0,tpad=stop_mode=clone:stop=-1,trim=end_frame=12";
    holds(
        &video,
        &[
            "split=5[s0][s1][s2][s3][s4];",
            "trim=start_pts=0:end_pts=135000,setpts=PTS-0,settb=AVTB[v0];[v0]null[j1];",
            &format!(
                "trim=start_pts=135000:end_pts=176401,setpts=PTS-136800,settb=AVTB,{steady}[o0];"
            ),
            &format!(
                "trim=start_pts=900000:end_pts=941400,setpts=PTS-900000,settb=AVTB,{steady}[i1];"
            ),
            "[o0][i1]xfade=transition=wipeleft:duration=0.480000:offset=0,format=yuv420p,settb=AVTB[x1];",
            "[x1]setpts=PTS+1000000000000[l2];[j1][l2]concat=n=2,settb=AVTB,\
             setpts='if(lt(PTS,1000000000000),PTS,PTS-if(ld(0),ld(0),st(0,PTS))+1520000)'[j2];",
            "trim=start_pts=941400:end_pts=1076401,setpts=PTS-943200,settb=AVTB[v1];",
            "st(0,PTS))+2000000)'[j3];",
            "st(0,PTS))+3520000)'[j4];[j4]null[v]",
        ],
    );
    let audio = graph(&scenes, None, SOUND);
    holds(
        &audio,
        &[
            "[a0][a1]acrossfade=duration=0.489956[k1];",
            "[k1][a2]concat=n=2:v=0:a=1[k2];[k2]anull[a]",
        ],
    );
}

#[test]
fn a_transition_has_as_many_pictures_of_both_sides() {
    // 59 and 60 of 59.94 a second, and nothing else: the last one stays.
    let frames = [Frame::of(3003, 2); 2];
    let mut scenes = [
        scene(0, 88_589, fade(1000)),
        scene(900_000, 990_090, Join::Hard),
    ];
    for scene in &mut scenes {
        scene.frames = frames;
        scene.last = scene.end - 1501;
    }
    let both = graph(&scenes, PIXELS, SOUND);
    holds(
        &both,
        &[
            "split=3[s0][s1][s2];",
            "trim=start_pts=0:end_pts=87089,",
            "trim=start_pts=900000:end_pts=987839,",
            "xfade=transition=wipeleft:duration=0.984322:offset=0",
            "trim=start_pts=987839:end_pts=988590,setpts=PTS-988589,settb=AVTB[v1];",
            "[x1]null[j1];",
            "atrim=start=0.000000:end=0.984322",
            "acrossfade=duration=0.984278",
        ],
    );
    assert_eq!(both.matches("fps=90000000/1501500:").count(), 2, "{both}");
    assert_eq!(both.matches("trim=end_frame=59[").count(), 2, "{both}");
}

#[test]
fn of_two_rates_a_transition_has_the_higher() {
    let mut scenes = [
        scene(0, 180_000, fade(1000)),
        scene(900_000, 1_080_000, Join::Hard),
    ];
    for frames in [[1500, 3000], [3000, 1500]] {
        for (scene, frame) in scenes.iter_mut().zip(frames) {
            scene.frames = [Frame::of(frame, 1); 2];
            scene.last = scene.end - frame;
        }
        let video = graph(&scenes, PIXELS, None);
        assert_eq!(video.matches("fps=90000000/1500000:").count(), 2, "{video}");
        assert_eq!(video.matches("trim=end_frame=60[").count(), 2, "{video}");
        holds(&video, &["setpts=PTS-990000,settb=AVTB[v1]", "+2000000)"]);
    }
}
