//! Files that are meant to cost the host more than they cost their author.
//!
//! A component is a sequence of sections, so more of them can be appended to an honest one (component-model, `Binary.md`).

const CUSTOM: u8 = 0;
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;
const COMPONENT: u8 = 4;
const TYPE: u8 = 7;

/// The component, with so many more instances of a core module.
#[must_use]
pub fn with_instances(component: &[u8], module: &[u8], instances: u32) -> Vec<u8> {
    let index = sections(component).filter(|(id, _)| *id == CORE_MODULE).count();
    let mut made = leb(u64::from(instances));
    for _ in 0..instances {
        // Instantiate the module with no arguments.
        made.push(0);
        made.extend(leb(index as u64));
        made.push(0);
    }
    let mut bytes = component.to_vec();
    append(&mut bytes, CORE_MODULE, module);
    append(&mut bytes, CORE_INSTANCE, &made);
    bytes
}

/// The component, with a custom section of so many bytes.
#[must_use]
pub fn with_custom_section(component: &[u8], bytes: usize) -> Vec<u8> {
    let mut section = leb(4);
    section.extend(b"ones");
    section.resize(section.len() + bytes, 1);
    let mut all = component.to_vec();
    append(&mut all, CUSTOM, &section);
    all
}

/// The component, with a component in a component in a component … so many levels deep.
#[must_use]
pub fn with_nesting(component: &[u8], levels: usize) -> Vec<u8> {
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    let nested = (0..levels).fold(empty.clone(), |inner, _| {
        let mut outer = empty.clone();
        append(&mut outer, COMPONENT, &inner);
        outer
    });
    let mut all = component.to_vec();
    append(&mut all, COMPONENT, &nested);
    all
}

/// A component of nothing but types: a list of lists of lists.
#[must_use]
pub fn of_types(levels: u32) -> Vec<u8> {
    let mut types = leb(u64::from(levels));
    // The first is a list of booleans, each other a list of the one before.
    types.extend([0x70, 0x7f]);
    for before in 0..levels.saturating_sub(1) {
        types.push(0x70);
        types.extend(leb(u64::from(before)));
    }
    let mut all = b"\0asm\x0d\0\x01\0".to_vec();
    append(&mut all, TYPE, &types);
    all
}

fn append(bytes: &mut Vec<u8>, id: u8, section: &[u8]) {
    bytes.push(id);
    bytes.extend(leb(section.len() as u64));
    bytes.extend(section);
}

/// The sections of a component, by their numbers.
fn sections(component: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = component.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&id, after) = rest.split_first()?;
        let (length, digits) = read_leb(after)?;
        let section = after.get(digits..digits.checked_add(length)?)?;
        rest = &after[digits + length..];
        Some((id, section))
    })
}

/// LEB128, unsigned.
fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

fn read_leb(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}
