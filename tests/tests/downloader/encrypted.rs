//! Segments that need something else before they can be stored: keys and init sections.

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use bytes::Bytes;
use tests::content::ts_bytes;
use tests::origin::{Fault, LiveOptions, NewSegment, Published, Resource};

use super::{SOON, Scene};

fn encrypt(plain: &[u8], key: [u8; 16], iv: u128) -> Bytes {
    let cipher = cbc::Encryptor::<Aes128>::new(&key.into(), &iv.to_be_bytes().into());
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + 16, 0);
    let length = cipher
        .encrypt_padded::<Pkcs7>(&mut buffer, plain.len())
        .unwrap()
        .len();
    buffer.truncate(length);
    buffer.into()
}

/// Pushes a segment in ciphertext; what is to be recorded is the plaintext.
fn push_encrypted(scene: &mut Scene, tag: &str, key: [u8; 16], iv: Option<u128>) -> Published {
    let sequence = scene.stream.listed().count() as u128;
    let plain = ts_bytes(500 + sequence as u64, 10_000 + sequence as usize);
    let cipher = encrypt(&plain, key, iv.unwrap_or(sequence));
    let cipher = NewSegment::new("2.000", cipher).tag(tag);
    let mut segment = scene.stream.push_segment(cipher);
    segment.content = plain;
    segment
}

#[tokio::test]
async fn aes_128_is_stored_decrypted_with_explicit_and_implied_iv_and_rotation() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let keys = [*b"0123456789abcdef", *b"fedcba9876543210"];
    for (n, key) in keys.iter().enumerate() {
        scene.origin.put(
            &format!("/live/key{n}"),
            key.to_vec(),
            "application/octet-stream",
        );
    }
    let mut all = Vec::new();
    let tag = "#EXT-X-KEY:METHOD=AES-128,URI=\"key0\",IV=0x0000000000000000000000000000ABCD";
    all.push(push_encrypted(&mut scene, tag, keys[0], Some(0xABCD)));
    let tag = "#EXT-X-KEY:METHOD=AES-128,URI=\"key1\"";
    for _ in 0..3 {
        all.push(push_encrypted(&mut scene, tag, keys[1], None));
    }
    let plain = NewSegment::new("2.000", ts_bytes(999, 5000)).tag("#EXT-X-KEY:METHOD=NONE");
    all.push(scene.stream.push_segment(plain));
    // Cut inside: what can be decrypted is kept, and the whole comes after it.
    scene
        .origin
        .next(1, all[1].path.as_str(), Fault::cut_after(5000));
    let _downloader = scene.record().await;
    scene.expect(&all).await;
    assert_eq!(scene.origin.count("/live/key1"), 1, "a key is fetched once");
    assert_eq!(scene.of_type("partial").len(), 1);
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_lost_with_a_reason_and_never_stored() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let tag =
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"";
    let secret = NewSegment::new("2.000", ts_bytes(1, 5000)).tag(tag);
    scene.stream.push_segment(secret);
    let plain = NewSegment::new("2.000", ts_bytes(2, 5000)).tag("#EXT-X-KEY:METHOD=NONE");
    let plain = scene.stream.push_segment(plain);
    let downloader = scene.record().await;
    scene.expect(&[plain]).await;
    downloader.wait_for_log("SAMPLE-AES", SOON).await;
    let lost = downloader
        .metrics()
        .await
        .sum("segments_lost_total", &[("reason", "encrypted")]);
    assert_eq!(lost, 1.0);
}

/// A key server or a content network answers with something else, and says 200: the next answer
/// is right, and no segment is lost.
#[tokio::test]
async fn a_key_or_an_init_section_of_a_wrong_size_is_asked_for_again() {
    let mut scene = Scene::new(LiveOptions::default()).await;
    let key = *b"0123456789abcdef";
    scene
        .origin
        .put("/live/key", key.to_vec(), "binary/octet-stream");
    scene.stream.set_init(ts_bytes(1, 1000));
    let page = |content: Vec<u8>| Fault::answer(Resource::new("text/html", content));
    for size in [5, 0, 17, 5000] {
        scene.origin.next(1, "/live/key", page(vec![b'<'; size]));
    }
    scene.origin.next(1, "/live/init0.mp4", page(Vec::new()));
    let endless = Fault::endless(64 << 20);
    scene.origin.next(1, "/live/init0.mp4", endless);
    let none = "#EXT-X-KEY:METHOD=NONE";
    let mut all = Vec::new();
    for seed in 0..3 {
        let plain = NewSegment::new("2.000", ts_bytes(seed, 1600)).tag(none);
        all.push(scene.stream.push_segment(plain));
    }
    let tag = "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"";
    for _ in 0..3 {
        all.push(push_encrypted(&mut scene, tag, key, None));
    }
    let downloader = scene.record().await;
    scene.expect(&all).await;
    assert_eq!(scene.origin.count("/live/key"), 5);
    assert_eq!(downloader.count_log("lost a segment"), 0);
}
