//! The label as an XMP packet, the metadata format that PNG, GIF, JPEG and WebP share.

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesEnd, BytesPI, BytesStart, BytesText, Event};
use quick_xml::name::{LocalName, Namespace, ResolveResult};
use quick_xml::writer::Writer;

use serde::de::DeserializeOwned;

use super::label::{Provenance, ReadLabel, TRAINED_ALGORITHMIC_MEDIA};
use super::recipe::Origin;
use crate::error::{Error, Result};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
/// The property of GB 45438-2025.
const TC260: &str = "http://www.tc260.org.cn/ns/AIGC/1.0/";
/// IPTC Photo Metadata, extension schema.
const IPTC: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
/// Our own properties. A name, not an address: `.invalid` never resolves (RFC 2606).
const MALIANG: &str = "https://maliang.invalid/ns/recipe/1.0/";

/// A packet longer than this is not read.
pub const MAX_PACKET: usize = 4 << 20;

/// The three properties of a label: namespace and name.
const PROPERTIES: [(&str, &str); 3] = [(TC260, "AIGC"), (IPTC, "DigitalSourceType"), (MALIANG, "recipe")];

/// The XMP packet of `provenance`; put into `existing` where the file has one.
///
/// Every byte of `existing` is kept: our properties are added in an `rdf:Description` of their own. Adding the same
/// label again changes nothing.
///
/// # Errors
/// `existing` is not XMP, or already carries a different label: another's label is never replaced.
pub fn merge<R: Origin>(existing: Option<&str>, provenance: &Provenance<R>) -> Result<String> {
    let Some(existing) = existing else { return Ok(packet(provenance)) };
    let scan = Scan::of(existing)?;
    let ours = [provenance.aigc_json(), TRAINED_ALGORITHMIC_MEDIA.to_owned(), provenance.recipe_json()];
    let mut missing = vec![];
    for (i, ours) in ours.into_iter().enumerate() {
        match &scan.properties[i] {
            None => missing.push((i, ours)),
            Some(theirs) if *theirs == ours => {}
            Some(_) => {
                let message = format!("the file already carries another {}", PROPERTIES[i].1);
                return Err(Error::input(message).hint("an existing label is never replaced: use a file without one"));
            }
        }
    }
    if missing.is_empty() {
        return Ok(existing.to_owned());
    }
    let about = scan.about.as_deref().unwrap_or_default();
    let description = render(|writer| write_description(writer, about, &missing));
    let (before, after) = existing.split_at(scan.insert_at);
    Ok(match &scan.empty_rdf {
        None => format!("{before}{description}\n{after}"),
        Some(name) => {
            // `<rdf:RDF …/>`: open it
            let opened = before.strip_suffix("/>").unwrap_or(before);
            format!("{opened}>\n{description}\n</{name}>{after}")
        }
    })
}

/// What the packet says, or `None` if it carries no label of any kind.
///
/// # Errors
/// The packet is not well-formed XMP, or its label is not the JSON it must be.
pub fn read<R: Origin + DeserializeOwned + PartialEq>(xmp: &str) -> Result<Option<ReadLabel<R>>> {
    let [aigc, digital_source_type, recipe] = Scan::of(xmp)?.properties;
    ReadLabel::of(aigc.as_deref(), digital_source_type, recipe.as_deref())
}

/// A new packet. Read-only (`end="r"`): PNG and GIF cannot be edited in place (XMP part 3).
fn packet<R: Origin>(provenance: &Provenance<R>) -> String {
    let properties = [provenance.aigc_json(), TRAINED_ALGORITHMIC_MEDIA.to_owned(), provenance.recipe_json()];
    let properties: Vec<(usize, String)> = properties.into_iter().enumerate().collect();
    render(|writer| {
        let begin = "xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\""; // the id is fixed by the standard
        let newline = || Event::Text(BytesText::from_escaped("\n"));
        writer.write_event(Event::PI(BytesPI::new(begin)))?;
        writer.write_event(newline())?;
        let meta =
            BytesStart::new("x:xmpmeta").with_attributes([("xmlns:x", "adobe:ns:meta/"), ("x:xmptk", "Maliang")]);
        writer.write_event(Event::Start(meta))?;
        writer.write_event(newline())?;
        writer.write_event(Event::Start(BytesStart::new("rdf:RDF").with_attributes([("xmlns:rdf", RDF)])))?;
        writer.write_event(newline())?;
        write_description(writer, "", &properties)?;
        writer.write_event(newline())?;
        writer.write_event(Event::End(BytesEnd::new("rdf:RDF")))?;
        writer.write_event(newline())?;
        writer.write_event(Event::End(BytesEnd::new("x:xmpmeta")))?;
        writer.write_event(newline())?;
        writer.write_event(Event::PI(BytesPI::new("xpacket end=\"r\"")))
    })
}

/// One `rdf:Description` about `about` (already escaped) with these of [`PROPERTIES`], declaring all its prefixes.
fn write_description(writer: &mut Writer<Vec<u8>>, about: &str, properties: &[(usize, String)]) -> std::io::Result<()> {
    const NAMES: [&str; 3] = ["TC260:AIGC", "Iptc4xmpExt:DigitalSourceType", "maliang:recipe"];
    const PREFIXES: [&str; 3] = ["xmlns:TC260", "xmlns:Iptc4xmpExt", "xmlns:maliang"];
    let mut start = BytesStart::from_content(format!("rdf:Description xmlns:rdf=\"{RDF}\" rdf:about=\"{about}\""), 15);
    start.extend_attributes(properties.iter().map(|&(i, _)| (PREFIXES[i], PROPERTIES[i].0)));
    writer.write_event(Event::Start(start))?;
    for (i, text) in properties {
        writer.write_event(Event::Text(BytesText::from_escaped("\n ")))?;
        writer.create_element(NAMES[*i]).write_text_content(BytesText::new(text))?;
    }
    writer.write_event(Event::Text(BytesText::from_escaped("\n")))?;
    writer.write_event(Event::End(BytesEnd::new("rdf:Description")))
}

fn render(write: impl FnOnce(&mut Writer<Vec<u8>>) -> std::io::Result<()>) -> String {
    let mut writer = Writer::new(vec![]);
    write(&mut writer).expect("writing to memory does not fail");
    String::from_utf8(writer.into_inner()).expect("written from strings")
}

/// One reading of a packet.
#[derive(Default)]
struct Scan {
    /// Values of [`PROPERTIES`], in their order.
    properties: [Option<String>; 3],
    /// `rdf:about` of the first description, as written: all descriptions of a packet must agree in it.
    about: Option<String>,
    /// Where a further description may be inserted: before `</rdf:RDF>`, or after `<rdf:RDF/>`.
    insert_at: usize,
    /// The tag's name if `rdf:RDF` is an empty element.
    empty_rdf: Option<String>,
}

/// What an open element is for us.
#[derive(Clone, Copy, PartialEq)]
enum Node {
    /// A wrapper around `rdf:RDF`, such as `x:xmpmeta`.
    Outer,
    Rdf,
    Description,
    /// One of [`PROPERTIES`].
    Property(usize),
    /// Another's property, or something inside it.
    Foreign,
}

impl Scan {
    fn of(xmp: &str) -> Result<Self> {
        let damaged = |reason: String| Error::corrupt(format!("the XMP metadata is damaged: {reason}"));
        if xmp.len() > MAX_PACKET {
            return Err(damaged(format!("{} bytes are too many", xmp.len())));
        }
        let mut scan = Scan::default();
        let found = scan.walk(xmp).map_err(damaged)?;
        if found { Ok(scan) } else { Err(damaged("there is no complete rdf:RDF element".into())) }
    }

    /// Reads the packet once. Returns whether it has an `rdf:RDF`; only the first one counts.
    fn walk(&mut self, xmp: &str) -> Result<bool, String> {
        let mut reader = NsReader::from_str(xmp);
        reader.config_mut().expand_empty_elements = true;
        let (mut path, mut text, mut found) = (vec![], String::new(), false);
        loop {
            let before = reader.buffer_position() as usize;
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let inside_property = matches!(path.last(), Some(Node::Property(_)));
            match event {
                Event::Start(element) => {
                    let node = match path.last() {
                        None | Some(Node::Outer) if !found && is(&reader, &element, RDF, "RDF") => Node::Rdf,
                        None | Some(Node::Outer) => Node::Outer,
                        Some(Node::Rdf) if is(&reader, &element, RDF, "Description") => {
                            self.attributes(&reader, &element)?;
                            Node::Description
                        }
                        Some(Node::Description) => match property(reader.resolver().resolve_element(element.name())) {
                            Some(i) => {
                                text = resource(&reader, &element)?.unwrap_or_default();
                                Node::Property(i)
                            }
                            None => Node::Foreign,
                        },
                        _ => Node::Foreign,
                    };
                    path.push(node);
                }
                Event::End(element) => match path.pop() {
                    Some(Node::Property(i)) => self.set(i, std::mem::take(&mut text))?,
                    Some(Node::Rdf) => {
                        found = true;
                        self.insert_at = before;
                        let empty = before == reader.buffer_position() as usize; // `<rdf:RDF/>`: the end has no bytes
                        self.empty_rdf = empty.then(|| element.name().into_inner().to_owned());
                    }
                    _ => {}
                },
                Event::Text(part) if inside_property => text += &part.xml10_content(),
                Event::CData(part) if inside_property => text += &part.xml10_content(),
                Event::GeneralRef(part) if inside_property => {
                    match part.resolve_char_ref().map_err(|error| error.to_string())? {
                        Some(character) => text.push(character),
                        None => {
                            let name = part.xml10_content();
                            text += resolve_predefined_entity(&name).ok_or(format!("unknown entity \"{name}\""))?;
                        }
                    }
                }
                Event::DocType(_) => return Err("it has a document type, which it must not have".into()),
                Event::Eof if path.is_empty() => return Ok(found),
                Event::Eof => return Err("it is cut off".into()),
                _ => {}
            }
        }
    }

    /// Properties may also be written as attributes of the description.
    fn attributes(&mut self, reader: &NsReader<&[u8]>, description: &BytesStart) -> Result<(), String> {
        let mut about = None;
        for attribute in description.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let resolved = reader.resolver().resolve_attribute(attribute.key);
            if let (ResolveResult::Bound(Namespace(RDF)), "about") = (&resolved.0, resolved.1.into_inner()) {
                about = Some(attribute.value.replace('"', "&quot;"));
            } else if let Some(i) = property(resolved) {
                self.set(i, value(&attribute)?)?;
            }
        }
        if self.about.is_none() {
            self.about = about;
        }
        Ok(())
    }

    fn set(&mut self, i: usize, value: String) -> Result<(), String> {
        match self.properties[i].replace(value) {
            None => Ok(()),
            Some(_) => Err(format!("{} occurs twice", PROPERTIES[i].1)),
        }
    }
}

/// Whether `element` is `name` of `namespace`, whatever its prefix.
fn is(reader: &NsReader<&[u8]>, element: &BytesStart, namespace: &str, name: &str) -> bool {
    let (bound, local) = reader.resolver().resolve_element(element.name());
    bound == ResolveResult::Bound(Namespace(namespace)) && local.into_inner() == name
}

/// Which of [`PROPERTIES`] a resolved name is.
fn property((bound, local): (ResolveResult, LocalName)) -> Option<usize> {
    let ResolveResult::Bound(Namespace(namespace)) = bound else { return None };
    PROPERTIES.iter().position(|&known| known == (namespace, local.into_inner()))
}

/// The value of `rdf:resource`, the other way to write a URI property.
fn resource(reader: &NsReader<&[u8]>, element: &BytesStart) -> Result<Option<String>, String> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let (bound, local) = reader.resolver().resolve_attribute(attribute.key);
        if bound == ResolveResult::Bound(Namespace(RDF)) && local.into_inner() == "resource" {
            return value(&attribute).map(Some);
        }
    }
    Ok(None)
}

fn value(attribute: &Attribute) -> Result<String, String> {
    Ok(attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::label::{sample, sample_text};
    use crate::provenance::recipe::Recipe;
    use proptest::prelude::*;

    /// As another program writes it: its own prefixes, properties as attributes, a structured property, padding.
    const FOREIGN: &str = r#"<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<r:Description r:about='uuid:"1"' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/>
<r:Description r:about='uuid:"1"' xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:creator><r:Seq><r:li>A &amp; B &#x9A6C;</r:li></r:Seq></dc:creator><!-- kept --></r:Description>
</r:RDF></x:xmpmeta>

<?xpacket end="w"?>"#;

    fn read(xmp: &str) -> Result<Option<ReadLabel>> {
        super::read::<Recipe>(xmp)
    }

    #[test]
    fn texts_have_packets_too() {
        let packet = merge(Some(FOREIGN), &sample_text()).unwrap();
        assert!(super::read(&packet).unwrap().unwrap().matches(&sample_text()));
    }

    #[test]
    fn the_packet_says_what_was_asked() {
        let packet = merge(None, &sample()).unwrap();
        assert_eq!(packet, merge(None, &sample()).unwrap());
        let read = read(&packet).unwrap().unwrap();
        assert!(read.matches(&sample()), "{read:?}");
        assert_eq!(read.content_producer.as_deref(), Some("Maliang 0.1.0"));
        let mut other = sample();
        other.recipe.seed -= 1;
        assert!(!read.matches(&other));
    }

    #[test]
    fn merging_keeps_every_foreign_byte() {
        let merged = merge(Some(FOREIGN), &sample()).unwrap();
        assert!(read(&merged).unwrap().unwrap().matches(&sample()));
        let (head, tail) = FOREIGN.split_once("</r:RDF>").unwrap();
        assert!(merged.starts_with(head) && merged.ends_with(&format!("</r:RDF>{tail}")));
        assert!(merged.contains("rdf:about=\"uuid:&quot;1&quot;\""), "all descriptions are about the same: {merged}");
        assert_eq!(merge(Some(&merged), &sample()).unwrap(), merged, "merging again changes nothing");
    }

    #[test]
    fn merging_into_an_empty_rdf_opens_it() {
        let empty = format!(r#"<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}" /></x:xmpmeta>"#);
        let merged = merge(Some(&empty), &sample()).unwrap();
        assert!(read(&merged).unwrap().unwrap().matches(&sample()), "{merged}");
    }

    #[test]
    fn anothers_label_is_never_replaced() {
        let mut other = sample();
        other.recipe.index = 99;
        let theirs = merge(None, &other).unwrap();
        let error = merge(Some(&theirs), &sample()).unwrap_err();
        assert!(error.message.contains("already carries"), "{error}");
    }

    #[test]
    fn other_ways_to_write_a_label_are_read() {
        let json = "{&quot;Label&quot;:&quot;1&quot;,&quot;ContentProducer&quot;:&quot;x&quot;,&quot;ProduceID&quot;:&quot;y&quot;}";
        let packet = format!(
            r#"<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description xmlns:a="{TC260}" xmlns:b="{IPTC}" a:AIGC="{json}">
               <b:DigitalSourceType rdf:resource="{TRAINED_ALGORITHMIC_MEDIA}"/></rdf:Description></rdf:RDF>"#
        );
        let label = read(&packet).unwrap().unwrap();
        assert_eq!((label.label.as_deref(), label.produce_id.as_deref()), (Some("1"), Some("y")));
        assert_eq!(label.digital_source_type.as_deref(), Some(TRAINED_ALGORITHMIC_MEDIA));
        assert_eq!(label.recipe, None);
        let cdata = packet.replace(&format!(" a:AIGC=\"{json}\""), "").replace(
            "<b:Digital",
            r#"<a:AIGC><![CDATA[{"Label":"2","ContentProducer":"x","ProduceID":"y"}]]></a:AIGC><b:Digital"#,
        );
        assert_eq!(read(&cdata).unwrap().unwrap().label.as_deref(), Some("2"));
    }

    /// The same words inside another's structure, or in another namespace, are not a label.
    #[test]
    fn look_alikes_are_not_labels() {
        assert_eq!(read(FOREIGN).unwrap(), None);
        let nested = format!(
            r#"<rdf:RDF xmlns:rdf="{RDF}"><rdf:Description xmlns:a="{TC260}" xmlns:q="urn:q"><q:x><a:AIGC>{{}}</a:AIGC></q:x>
               <q:AIGC>{{}}</q:AIGC></rdf:Description></rdf:RDF>"#
        );
        assert_eq!(read(&nested).unwrap(), None);
    }

    #[test]
    fn damaged_packets_are_errors() {
        let packet = merge(None, &sample()).unwrap();
        let doctype = format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{packet}");
        let entity = packet.replace("{&quot;Label", "&a;{&quot;Label");
        let wrong = packet.replace("&quot;Label&quot;", "&quot;Lbl&quot;");
        let end = packet.find("</rdf:RDF>").unwrap();
        for bad in ["", "text", "<a></b>", &doctype, &entity, &wrong, &packet[..end], &packet[..end + 10]] {
            assert!(read(bad).is_err(), "{bad:.80}");
        }
        assert!(merge(Some("text"), &sample()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_survives(model in any::<String>(), class in any::<Option<String>>(), latent in any::<String>()) {
            let mut provenance = sample();
            (provenance.recipe.model, provenance.recipe.class, provenance.recipe.latent) = (model, class, latent);
            for existing in [None, Some(FOREIGN)] {
                let packet = merge(existing, &provenance).unwrap();
                prop_assert!(read(&packet).unwrap().unwrap().matches(&provenance));
            }
        }

        #[test]
        fn damage_never_panics(at in any::<prop::sample::Index>(), to in any::<char>()) {
            let mut characters: Vec<char> = merge(Some(FOREIGN), &sample()).unwrap().chars().collect();
            let at = at.index(characters.len());
            characters[at] = to;
            let damaged: String = characters.into_iter().collect();
            let _ = read(&damaged);
            let _ = merge(Some(&damaged), &sample());
        }
    }
}
