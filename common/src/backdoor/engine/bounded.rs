//! Functions of the language that cost more than what they are given: Rhai makes all of their
//! result before it looks at any bound, or never ends. These stand in their place.

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use super::{LONGEST_TEXT, MOST_ELEMENTS, MOST_KEPT, Weight};

type Done = Result<(), Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine) {
    type Text = ImmutableString;
    engine
        .register_fn("replace", |text: &mut Text, from: &str, to: &str| {
            replace(text, from, to)
        })
        .register_fn("replace", |text: &mut Text, from: &str, to: char| {
            replace(text, from, to.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |text: &mut Text, from: char, to: &str| {
            replace(text, from.encode_utf8(&mut [0; 4]), to)
        })
        .register_fn("replace", |text: &mut Text, from: char, to: char| {
            replace(
                text,
                from.encode_utf8(&mut [0; 4]),
                to.encode_utf8(&mut [0; 4]),
            )
        })
        .register_fn("pad", pad_text)
        .register_fn("pad", pad_list);
}

fn replace(text: &mut ImmutableString, from: &str, to: &str) -> Done {
    // As Rhai has it, for nothing in nothing.
    if text.is_empty() {
        return Ok(());
    }
    let found = text.matches(from).count();
    let rest = text.len() - found * from.len();
    fits(rest.saturating_add(found.saturating_mul(to.len())))?;
    *text = text.replace(from, to).into();
    Ok(())
}

/// Until it has so many characters. With an empty `padding` it stays as it is.
fn pad_text(text: &mut ImmutableString, characters: i64, padding: &str) -> Done {
    let characters = usize::try_from(characters).unwrap_or(0);
    fits(characters)?;
    let missing = characters.saturating_sub(text.chars().count());
    let padded: String = text
        .chars()
        .chain(padding.chars().cycle().take(missing))
        .collect();
    fits(padded.len())?;
    *text = padded.into();
    Ok(())
}

/// Until it has so many elements.
fn pad_list(list: &mut Array, elements: i64, element: Dynamic) -> Done {
    let elements = usize::try_from(elements).unwrap_or(0);
    let missing = elements.saturating_sub(list.len());
    let weight = Weight::of_copy(&element).bytes.saturating_mul(missing);
    if missing > 0 && (elements > MOST_ELEMENTS || weight > MOST_KEPT) {
        return Err(too_large("Size of array"));
    }
    list.resize(list.len() + missing, element);
    Ok(())
}

fn fits(text: usize) -> Done {
    match text > LONGEST_TEXT {
        true => Err(too_large("Length of string")),
        false => Ok(()),
    }
}

fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into()
}
