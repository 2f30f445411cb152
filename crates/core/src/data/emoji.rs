//! The built-in pictures: Twemoji (72×72 PNG, graphics CC-BY 4.0) by CLDR group, with their names as captions.

use emojis::{Emoji, Group, SkinTone};
use twemoji_assets::png::PngTwemojiAsset;

use super::kept::{Room, Slot};
use super::source::{Item, Place, Scan, Source};
use crate::{Error, Result};

/// The groups by their short names.
const GROUPS: [(&str, &[Group]); 12] = [
    ("animals", &[Group::AnimalsAndNature]), // up to the first plant, see `members`
    ("nature", &[Group::AnimalsAndNature]),
    ("faces", &[Group::SmileysAndEmotion]), // up to the first letter and heart, see `members`
    ("smileys", &[Group::SmileysAndEmotion]),
    ("people", &[Group::PeopleAndBody]), // in all skin tones
    ("food", &[Group::FoodAndDrink]),
    ("travel", &[Group::TravelAndPlaces]),
    ("activities", &[Group::Activities]),
    ("objects", &[Group::Objects]),
    ("symbols", &[Group::Symbols]),
    ("flags", &[Group::Flags]),
    (
        "all",
        &[
            Group::SmileysAndEmotion,
            Group::PeopleAndBody,
            Group::AnimalsAndNature,
            Group::FoodAndDrink,
            Group::TravelAndPlaces,
            Group::Activities,
            Group::Objects,
            Group::Symbols,
            Group::Flags,
        ],
    ),
];

/// CLDR lists the animals of its group "Animals & Nature" first and the plants after them, starting with this one.
const FIRST_PLANT: &str = "💐";
/// CLDR lists the faces of its group "Smileys & Emotion" first and letters, hearts and bubbles after them.
const FIRST_LETTER: &str = "💌";

/// An error that lists the groups, if there is none of this name.
pub(super) fn validate(group: &str) -> Result<()> {
    if GROUPS.iter().any(|(name, _)| *name == group) {
        return Ok(());
    }
    let names: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
    let problem = if group.is_empty() {
        "emoji: needs a group".to_string()
    } else {
        format!("there is no emoji group {group:?}")
    };
    Err(Error::input(problem).hint(format!("the groups are {}, as in emoji:animals", names.join(", "))))
}

pub(super) fn scan(group: &str) -> Result<Scan> {
    validate(group)?;
    let mut missing = 0;
    let mut items: Vec<Item> = Vec::new();
    for emoji in members(group) {
        let Some(png) = picture(emoji) else {
            missing += 1;
            continue;
        };
        let digest = blake3::hash(png);
        items.push(Item {
            name: emoji.name().to_string(),
            label: None,
            caption: Some(emoji.name().to_string()),
            bytes: png.len() as u64,
            stamp: u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("8 bytes")),
            place: Place::Builtin(png),
            kept: Slot::default(),
        });
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    let mut notes = vec!["graphics: Twemoji, CC-BY 4.0, https://github.com/jdecked/twemoji".to_string()];
    if missing > 0 {
        notes.push(format!("emoji without a picture: {missing}"));
    }
    Ok(Scan {
        source: Source::Emoji(String::new()),
        items,
        rejects: Vec::new(),
        ignored: 0,
        kinds: Vec::new(),
        notes,
        backing: None,
        room: Room::default(),
        own_too: false,
    })
}

/// The emoji of a group: in their default skin tone, except that `people` has them all.
fn members(group: &str) -> Vec<&'static Emoji> {
    let groups = GROUPS.iter().find(|(name, _)| *name == group).map_or(&[][..], |(_, groups)| groups);
    let emojis = groups.iter().flat_map(Group::emojis);
    match group {
        "animals" => emojis.take_while(|emoji| emoji.as_str() != FIRST_PLANT).collect(),
        "faces" => emojis.take_while(|emoji| emoji.as_str() != FIRST_LETTER).collect(),
        "people" => emojis
            .flat_map(|emoji| match emoji.skin_tones() {
                Some(tones) if emoji.skin_tone() == Some(SkinTone::Default) => tones.collect(),
                _ => vec![emoji],
            })
            .collect(),
        _ => emojis.collect(),
    }
}

/// Twemoji names its files with U+FE0F ("show as a picture") only where Unicode demands it.
fn picture(emoji: &Emoji) -> Option<&'static [u8]> {
    let text = emoji.as_str();
    PngTwemojiAsset::from_emoji(text)
        .or_else(|| PngTwemojiAsset::from_emoji(&text.replace('\u{fe0f}', "")))
        .map(|asset| asset.data.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_pictures_and_animals_has_131() {
        for (name, _) in GROUPS {
            let scan = scan(name).unwrap();
            assert!(scan.items.len() > 50, "{name}: {}", scan.items.len());
            assert!(scan.items.is_sorted_by(|a, b| a.name <= b.name));
        }
        let animals = scan("animals").unwrap();
        assert_eq!(animals.items.len(), 131);
        assert!(animals.items.iter().any(|item| item.name == "panda"));
        assert!(!animals.items.iter().any(|item| item.name == "rose"));
        assert_eq!(animals.items[0].caption.as_deref(), Some(animals.items[0].name.as_str()));
        let faces = scan("faces").unwrap();
        assert!(faces.items.iter().any(|item| item.name == "grinning face"));
        assert!(!faces.items.iter().any(|item| item.name == "red heart"));
        assert_eq!(scan("all").unwrap().items.len(), 1914);
    }

    #[test]
    fn an_unknown_group_lists_the_groups() {
        let error = validate("dragons").unwrap_err();
        assert!(error.message.contains("dragons") && error.hint.unwrap().contains("animals, nature"));
    }
}
