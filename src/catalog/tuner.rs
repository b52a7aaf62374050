//! The channels as the lineup of an HDHomeRun network tuner, for Plex, Jellyfin, Emby and Channels. (pure)
//!
//! Source: what tuners of the fourth generation answer, and libhdhomerun for the check digit of their ids. The rule:
//! every URL carries the account of the request that asked, never one that it did not give.

use serde::Serialize;

use super::escape::push_xml;
use super::{Asker, Entry, JSON, Listing, XML, XML_DECLARATION, json};
use crate::config::Channel;

/// `discover.json`: what the tuner is and where its lineup lies.
#[must_use]
pub fn discover(asker: &Asker, has_account: bool) -> Listing<'static> {
    let base_url = base_url(asker, has_account);
    let discover = Discover {
        friendly_name: NAME,
        manufacturer: NAME,
        model_number: MODEL,
        firmware_name: FIRMWARE,
        firmware_version: FIRMWARE_VERSION,
        device_id: device_id(asker),
        device_auth: "",
        lineup_url: format!("{base_url}/lineup.json"),
        base_url,
        tuner_count: asker.standing.viewers_max.min(TUNERS_MAX),
    };
    Listing::short(JSON, json(&discover))
}

/// `lineup_status.json`: nothing is scanned, and nothing needs to be.
#[must_use]
pub fn status() -> Listing<'static> {
    let status = r#"{"ScanInProgress":0,"ScanPossible":0,"Source":"Cable","SourceList":["Cable"]}"#;
    Listing::short(JSON, status.to_owned())
}

/// `lineup.json`: the channels with their URLs.
#[must_use]
pub fn lineup<'c>(channels: impl IntoIterator<Item = &'c Channel>) -> Listing<'c> {
    let entries = Entry::all(channels);
    Listing::new(JSON, "[".to_owned(), entries, push_json).between(",", "]")
}

/// `lineup.xml`: the same.
#[must_use]
pub fn lineup_xml<'c>(channels: impl IntoIterator<Item = &'c Channel>) -> Listing<'c> {
    let opening = format!("{XML_DECLARATION}<Lineup>\n");
    Listing::new(XML, opening, Entry::all(channels), push_program).between("", "</Lineup>\n")
}

/// `device.xml`: the tuner as UPnP describes devices.
#[must_use]
pub fn device(asker: &Asker, has_account: bool) -> Listing<'static> {
    let id = device_id(asker);
    let mut text = format!(
        "{XML_DECLARATION}<root xmlns=\"urn:schemas-upnp-org:device-1-0\">\n\
         <specVersion><major>1</major><minor>0</minor></specVersion>\n<URLBase>"
    );
    push_xml(&mut text, &base_url(asker, has_account));
    text.push_str(&format!(
        "</URLBase>\n<device>\n\
         <deviceType>urn:schemas-upnp-org:device:MediaServer:1</deviceType>\n\
         <friendlyName>{NAME}</friendlyName>\n<manufacturer>{NAME}</manufacturer>\n\
         <modelName>{MODEL}</modelName>\n<modelNumber>{MODEL}</modelNumber>\n\
         <serialNumber>{id}</serialNumber>\n<UDN>uuid:{id}-0000-4000-8000-0000{id}</UDN>\n\
         </device>\n</root>\n"
    ));
    Listing::short(XML, text)
}

fn push_json(out: &mut String, entry: &Entry<'_>, asker: &Asker) {
    let channel = Tuned {
        guide_number: entry.channel.number.to_string(),
        guide_name: &entry.channel.name,
        url: asker.channel_url(entry.channel),
    };
    out.push_str(&json(&channel));
}

fn push_program(out: &mut String, entry: &Entry<'_>, asker: &Asker) {
    out.push_str(&format!(
        "<Program><GuideNumber>{}</GuideNumber><GuideName>",
        entry.channel.number
    ));
    push_xml(out, &entry.channel.name);
    out.push_str("</GuideName><URL>");
    push_xml(out, &asker.channel_url(entry.channel));
    out.push_str("</URL></Program>\n");
}

/// Where the other answers of the tuner lie. With an account it stands in the path, since the apps that ask have no
/// place for it elsewhere.
fn base_url(asker: &Asker, has_account: bool) -> String {
    match has_account {
        true => format!("{}/{}", asker.base, asker.account_path),
        false => asker.base.to_string(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Discover {
    friendly_name: &'static str,
    manufacturer: &'static str,
    model_number: &'static str,
    firmware_name: &'static str,
    firmware_version: &'static str,
    #[serde(rename = "DeviceID")]
    device_id: String,
    device_auth: &'static str,
    #[serde(rename = "BaseURL")]
    base_url: String,
    #[serde(rename = "LineupURL")]
    lineup_url: String,
    tuner_count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tuned<'a> {
    guide_number: String,
    guide_name: &'a str,
    #[serde(rename = "URL")]
    url: String,
}

/// The id by which an app knows the tuner again: made of the address under which it is asked, so that it outlives
/// restarts and changes of the lineup, and two servers that one app sees have two.
fn device_id(asker: &Asker) -> String {
    // FNV-1a, which is the same on every build.
    let address = asker.base.to_string().to_ascii_lowercase();
    let hash = address.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    // As real ones do, it begins with 1; the last digit checks the others.
    let id = 0x1000_0000 | (hash ^ (hash >> 28)) & 0x0fff_fff0;
    format!("{:08X}", id | check_digits(id))
}

/// Zero for a whole id that is right; for one that ends in 0, the digit to put there.
fn check_digits(id: u32) -> u32 {
    let digit = |place: u32| (id >> (4 * place)) & 0xf;
    (0..8).fold(0, |sum, place| match place % 2 {
        0 => sum ^ digit(place),
        _ => sum ^ swapped(digit(place)),
    })
}

/// The digit that stands for another one in every second place.
fn swapped(digit: u32) -> u32 {
    u32::try_from((SWAPPED >> (4 * digit)) & 0xf).unwrap_or(0)
}

/// Sixteen digits, that of 0 last.
const SWAPPED: u64 = 0x0e34_d829_b1c7_6f5a;

const NAME: &str = "corecast";

/// A model without transcoder: apps would ask one with it for other formats.
const MODEL: &str = "HDHR4-2US";

const FIRMWARE: &str = "hdhomerun4_atsc";

const FIRMWARE_VERSION: &str = "20200907";

/// More tuners than any app uses at once; some list each of them.
const TUNERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::catalog::Standing;
    use crate::catalog::base::Base;
    use crate::catalog::tests::{asker, channels, written};

    fn at(authority: &str) -> String {
        device_id(&Asker::new(
            Base::new(false, authority),
            None,
            Standing::unlimited(1),
        ))
    }

    fn read(listing: &Listing<'_>) -> Value {
        serde_json::from_str(&written(listing)).unwrap()
    }

    #[test]
    fn the_check_digit_is_that_of_real_tuners() {
        assert_eq!(check_digits(0x1043_9EFD), 0);
        assert_ne!(check_digits(0x1043_9EFC), 0);
        assert_ne!(check_digits(0x1043_EFD9), 0);
    }

    #[test]
    fn a_device_id_belongs_to_the_address_and_checks_itself() {
        let mut ids: Vec<String> = (1..=200)
            .map(|port| at(&format!("tv.example:{port}")))
            .collect();
        for id in &ids {
            assert_eq!(
                check_digits(u32::from_str_radix(id, 16).unwrap()),
                0,
                "{id}"
            );
            assert!(id.len() == 8 && id.starts_with('1'), "{id}");
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 200);
        assert_eq!(at("tv.example:8000"), at("TV.example:8000"));
    }

    #[test]
    fn what_is_discovered_leads_to_the_lineup() {
        let discovered = read(&discover(&asker(), true));
        assert_eq!(
            discovered,
            serde_json::json!({
                "FriendlyName": "corecast",
                "Manufacturer": "corecast",
                "ModelNumber": "HDHR4-2US",
                "FirmwareName": "hdhomerun4_atsc",
                "FirmwareVersion": "20200907",
                "DeviceID": at("tv.example:8000"),
                "DeviceAuth": "",
                "BaseURL": "http://tv.example:8000/anna/a%2Bb%3Ac",
                "LineupURL": "http://tv.example:8000/anna/a%2Bb%3Ac/lineup.json",
                "TunerCount": 5,
            })
        );
        assert_eq!(
            read(&discover(&asker(), false))["LineupURL"],
            "http://tv.example:8000/lineup.json"
        );
    }

    #[test]
    fn the_lineup_has_numbers_as_text_and_whole_urls() {
        let channels = channels();
        let lineup = read(&lineup(&channels));
        assert_eq!(
            lineup[0],
            serde_json::json!({
                "GuideNumber": "7",
                "GuideName": "News, \"24\" & more",
                "URL": "http://tv.example:8000/live/anna/a%2Bb%3Ac/1.ts",
            })
        );
        assert_eq!(lineup.as_array().unwrap().len(), 3);
        let xml = written(&lineup_xml(&channels));
        assert!(xml.contains(
            "<Program><GuideNumber>7</GuideNumber><GuideName>News, &quot;24&quot; &amp; more</GuideName>\
             <URL>http://tv.example:8000/live/anna/a%2Bb%3Ac/1.ts</URL></Program>\n"
        ));
        assert_eq!(xml.matches("<Program>").count(), 3);
    }

    #[test]
    fn the_status_offers_no_scan() {
        assert_eq!(
            read(&status()),
            serde_json::json!({"ScanInProgress": 0, "ScanPossible": 0, "Source": "Cable", "SourceList": ["Cable"]})
        );
    }

    #[test]
    fn the_device_says_its_id_in_upnp() {
        let text = written(&device(&asker(), false));
        let id = at("tv.example:8000");
        assert!(
            text.contains(&format!("<UDN>uuid:{id}-0000-4000-8000-0000{id}</UDN>")),
            "{text}"
        );
        assert!(
            text.contains("<URLBase>http://tv.example:8000</URLBase>"),
            "{text}"
        );
    }
}
