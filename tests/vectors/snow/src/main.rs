//! Repeats every handshake of ../wireguard-go.json with snow, an implementation of the Noise protocol
//! framework that knows nothing of WireGuard, and writes ../snow.json: the Noise messages and, what
//! wireguard-go never shows, the transport keys.
//!
//! It stops where snow's messages are not, byte for byte, those that wireguard-go sent.

use std::fs;

use serde_json::{json, Value};
use snow::{params::NoiseParams, Builder, HandshakeState};

const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const PROLOGUE: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
const VERSION: &str = include_str!("../Cargo.toml");

/// What an end was given and did, of those events that send a handshake message.
struct Sent<'a> {
    end: &'a str,
    time: u64,
    given: Vec<u8>,
    datagram: Vec<u8>,
    ephemeral: Vec<u8>,
}

fn main() {
    let source: Value = serde_json::from_str(&fs::read_to_string("../wireguard-go.json").unwrap()).unwrap();
    let sessions = source["sessions"].as_array().unwrap();
    let handshakes: Vec<Value> = sessions.iter().flat_map(repeat).collect();
    let found = json!({"implementation": "snow", "version": version(), "handshakes": handshakes});
    fs::write(
        "../snow.json",
        serde_json::to_string_pretty(&found).unwrap() + "\n",
    )
    .unwrap();
}

fn version() -> &'static str {
    let line = VERSION.lines().find(|line| line.starts_with("snow =")).unwrap();
    line.split('"').nth(1).unwrap().trim_start_matches('=')
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or("")).unwrap()
}

/// The handshake messages of a type (the first byte) in the order of their sending.
fn sent(session: &Value, kind: u8) -> Vec<Sent<'_>> {
    let mut found = Vec::new();
    for event in session["transcript"].as_array().unwrap() {
        for datagram in event["datagrams"].as_array().unwrap_or(&Vec::new()) {
            let datagram = bytes(datagram);
            if datagram[0] == kind {
                let draws = event["random"].as_array().unwrap().iter().map(bytes);
                found.push(Sent {
                    end: event["end"].as_str().unwrap(),
                    time: event["time"].as_u64().unwrap(),
                    given: bytes(&event["datagram"]),
                    datagram,
                    ephemeral: draws.into_iter().find(|draw| draw.len() == 32).unwrap(),
                });
            }
        }
    }
    found
}

/// TAI64N, its nanoseconds cut to multiples of 2^24.
fn tai64n(time: u64) -> Vec<u8> {
    let (seconds, nanoseconds) = (time / 1_000_000_000, (time % 1_000_000_000) as u32);
    let mut label = (0x4000_0000_0000_000a + seconds).to_be_bytes().to_vec();
    label.extend((nanoseconds & !0xff_ffff).to_be_bytes());
    label
}

/// Every initiation of a session that got a response, and that response.
fn repeat(session: &Value) -> Vec<Value> {
    let initiations = sent(session, 1);
    let responses = sent(session, 2);
    let answered = responses.iter().map(|response| {
        let initiation = initiations
            .iter()
            .find(|sent| sent.datagram == response.given)
            .unwrap();
        handshake(session, initiation, response)
    });
    answered.collect()
}

fn handshake(session: &Value, initiation: &Sent, response: &Sent) -> Value {
    let mut initiator = noise(session, initiation, Some(response.end));
    let mut responder = noise(session, response, None);
    let timestamp = tai64n(initiation.time);

    let first = write(&mut initiator, &timestamp);
    assert_eq!(
        first,
        initiation.datagram[8..116],
        "initiation of {}",
        session["name"]
    );
    assert_eq!(read(&mut responder, &first), timestamp);
    let second = write(&mut responder, &[]);
    assert_eq!(
        second,
        response.datagram[12..60],
        "response of {}",
        session["name"]
    );
    assert!(read(&mut initiator, &second).is_empty());

    let (to_responder, to_initiator) = initiator.dangerously_get_raw_split();
    assert_eq!(
        (to_responder, to_initiator),
        responder.dangerously_get_raw_split()
    );
    json!({
        "session": session["name"],
        "initiator": initiation.end,
        "initiator_ephemeral": hex::encode(&initiation.ephemeral),
        "responder_ephemeral": hex::encode(&response.ephemeral),
        "timestamp": hex::encode(timestamp),
        "initiation": hex::encode(first),
        "response": hex::encode(second),
        "key_to_responder": hex::encode(to_responder),
        "key_to_initiator": hex::encode(to_initiator),
    })
}

/// One end of a handshake; only the initiator knows beforehand whom it speaks to.
fn noise(session: &Value, own: &Sent, remote: Option<&str>) -> HandshakeState {
    let params: NoiseParams = PATTERN.parse().unwrap();
    let private = bytes(&session["ends"][own.end]["private_key"]);
    let psk: [u8; 32] = bytes(&session["preshared_key"]).try_into().unwrap();
    let public = remote.map(|end| bytes(&session["ends"][end]["public_key"]));
    let builder = Builder::new(params)
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(&private)
        .unwrap()
        .psk(2, &psk)
        .unwrap()
        .fixed_ephemeral_key_for_testing_only(&own.ephemeral);
    match &public {
        Some(public) => builder
            .remote_public_key(public)
            .unwrap()
            .build_initiator()
            .unwrap(),
        None => builder.build_responder().unwrap(),
    }
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 256];
    let length = state.write_message(payload, &mut message).unwrap();
    message.truncate(length);
    message
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 256];
    let length = state.read_message(message, &mut payload).unwrap();
    payload.truncate(length);
    payload
}
