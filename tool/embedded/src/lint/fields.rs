//! Fields: whether a record type has them, whether their values fit, and whether links lead anywhere.

use std::sync::Arc;

use epics_base_rs::calc;
use epics_base_rs::server::record::dbd_generated::menu_choices;
use epics_base_rs::server::record::{
    FieldDesc, LinkFieldType, ParsedLink, check_link_text, declared_field, link_type_refusal, parse_link_field,
    resolve_menu_field_string_db_load,
};
use epics_base_rs::types::{DbfCode, DbfLinkClass, dbf_link_class};

use super::database::{Database, Field, Record, field_names, has_fields};
use super::report::{Report, may_compare, suggest};
use crate::known::{self, Devices};

/// Judges all fields of all records.
pub fn judge(database: &Database, report: &mut Report) {
    let mut devices = Devices::default();
    for record in &database.records {
        if has_fields(&record.kind) {
            for field in &record.fields {
                judge_field(record, field, devices.of(&record.kind), database, report);
            }
        }
    }
}

fn judge_field(record: &Record, field: &Field, devices: &[&str], database: &Database, report: &mut Report) {
    let kind = &record.kind;
    let name = field.name.as_str();
    if name == "NAME" {
        let what = "the field NAME cannot be set: the record has its name from record(…)";
        report.error(field.at, "fixed-field", what, "take the line out");
        return;
    }
    let Some(desc) = declared_field(kind, name).filter(|desc| desc.name == name) else {
        if !name.contains(super::report::UNKNOWN) {
            let hint = suggest(name, field_names(kind), || format!("see the reference of the {kind} record"));
            report.error(field.at, "unknown-field", format!("record type {kind} has no field `{name}`"), hint);
        }
        return;
    };
    if field.is_unknown() {
        return;
    }
    if let Some(error) = expression(kind, name, &field.value) {
        let what = format!("`{}` is no expression for {kind}.{name}: {error}", field.value);
        report.error(field.value_at, "bad-expression", what, "see the reference of the calc record");
        return;
    }
    match desc.declared_dbf {
        DbfCode::NoAccess => {
            let what = format!("{kind}.{name} cannot be set in a database");
            report.error(field.at, "fixed-field", what, "it has its value at run time only: take the line out");
        }
        DbfCode::String => text(record, field, desc, report),
        DbfCode::Menu => menu(record, field, desc, database, report),
        DbfCode::Device => device(record, field, devices, database, report),
        DbfCode::Inlink | DbfCode::Outlink | DbfCode::Fwdlink => link(record, field, devices, database, report),
        DbfCode::Float | DbfCode::Double => number(record, field, is_float(&field.value), "a number", report),
        DbfCode::Char | DbfCode::Short | DbfCode::Long | DbfCode::Int64 => {
            number(record, field, is_whole(&field.value, true), "a whole number", report);
        }
        _ => number(record, field, is_whole(&field.value, false), "a whole number", report),
    }
}

/// Why an expression does not compile, by the compiler that the record type uses.
fn expression(kind: &str, name: &str, value: &str) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    let letter = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1);
    let compile: fn(&str) -> Result<(), calc::CalcError> = match (kind, name) {
        ("calc" | "calcout" | "swait", "CALC") | ("calcout", "OCAL") => |value| calc::compile(value).map(drop),
        ("scalcout", "CALC" | "OCAL") => |value| calc::scalc_compile(value).map(drop),
        ("transform", _) if letter("CLC") => |value| calc::scalc_compile(value).map(drop),
        ("acalcout", "CALC" | "OCAL") => |value| calc::acalc_compile(value).map(drop),
        _ => return None,
    };
    // The compilers need the square of its length; C has room for 80 bytes.
    if value.len() > 1000 {
        return Some(format!("it has {} bytes", value.len()));
    }
    compile(value).err().map(|error| error.to_string())
}

fn text(record: &Record, field: &Field, desc: &FieldDesc, report: &mut Report) {
    let room = usize::from(desc.size).saturating_sub(1);
    let length = field.value.len();
    if room > 0 && length > room {
        let what = format!("{}.{} has {length} bytes, at most {room} can be", record.kind, field.name);
        report.error(field.place(room), "too-long", what, "shorten it");
    }
}

fn number(record: &Record, field: &Field, fits: bool, what: &str, report: &mut Report) {
    if !fits {
        let what = format!("`{}` is no value for {}.{}: it takes {what}", field.value, record.kind, field.name);
        report.error(field.value_at, "bad-value", what, "correct the value, or the name of the field");
    }
}

fn is_float(value: &str) -> bool {
    value.is_empty() || epics_base_rs::runtime::stdlib::epics_parse_double(value).is_ok()
}

/// A whole number as C's `strtoll` and `strtoull` take it, with base 0. Digits that do not fit are for C to cut.
fn is_whole(value: &str, signed: bool) -> bool {
    let value = value.trim();
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    let negative = value.starts_with('-');
    value.is_empty()
        || (all
            && match u64::from_str_radix(digits, base) {
                Ok(number) if signed && negative => number <= 1 << 63,
                Ok(number) if signed => i64::try_from(number).is_ok(),
                other => other.is_ok(),
            })
}

fn menu(record: &Record, field: &Field, desc: &FieldDesc, database: &Database, report: &mut Report) {
    let of_site = database.types.scan.as_ref().filter(|_| desc.menu_name == Some("menuScan"));
    let of_site: Option<Vec<&str>> = of_site.map(|own| own.iter().map(String::as_str).collect());
    let Some(choices) = of_site.as_deref().or(desc.menu).or_else(|| menu_choices(desc.menu_name?)) else { return };
    let own = matches!(desc.menu_name, Some("menuScan")) && database.types.open;
    let table = field.name == "LINR" && database.tables;
    let fits = resolve_menu_field_string_db_load(&field.name, choices, desc.dbf_type, &field.value).is_ok();
    if fits || own || table || field.value.is_empty() {
        return;
    }
    let what = format!("{}.{} has no choice `{}`", record.kind, field.name, field.value);
    let hint = suggest(&field.value, choices.iter().copied(), || format!("the choices are: {}", choices.join(", ")));
    report.error(field.value_at, "unknown-choice", what, hint);
}

fn device(record: &Record, field: &Field, devices: &[&str], database: &Database, report: &mut Report) {
    let value = field.value.as_str();
    let index = value.parse::<usize>().is_ok_and(|index| index <= devices.len());
    if devices.contains(&value) {
        let what = format!("device support `{value}`");
        database.types.need("not-in-dbd", &what, known::definitions_of_device(value), field.value_at, report);
    }
    if devices.contains(&value) || index || database.types.open || value.is_empty() {
        return;
    }
    let what = format!("record type {} has no device support `{value}`", record.kind);
    let hint = suggest(value, devices.iter().copied(), || match devices {
        [] => format!("the {} record has no device support: take DTYP out", record.kind),
        _ => format!("DTYP can be: {}", devices.join(", ")),
    });
    report.error(field.value_at, "unknown-device", what, hint);
}

fn link(record: &Record, field: &Field, devices: &[&str], database: &Database, report: &mut Report) {
    let (kind, name, value) = (&record.kind, &field.name, &field.value);
    if let Err(error) = check_link_text(kind, name, value) {
        let what = format!("`{value}` is no link for {kind}.{name}: {error}");
        report.error(
            field.value_at,
            "bad-link",
            what,
            "a link is \"RECORD.FIELD\", a constant, or \"@…\" for a device",
        );
        return;
    }
    let dtyp = record.field("DTYP");
    let known = dtyp.is_none_or(|dtyp| devices.contains(&dtyp.value.as_str()));
    // The last one given is the one that holds.
    let last = record.field(name).is_some_and(|last| std::ptr::eq(last, field));
    if known && last && !database.types.open {
        let choice = dtyp.map(|dtyp| dtyp.value.as_str());
        if link_type_refusal(&record.name, kind, choice, name, value).is_some() {
            let (what, hint) = match dtyp {
                Some(dtyp) => (
                    format!("`{value}` is no {name} for device support `{}`", dtyp.value),
                    "hardware takes \"@…\"; links to records need a DTYP of Soft Channel".to_owned(),
                ),
                None => (
                    format!("`{value}` in {kind}.{name} needs a device support"),
                    "add field(DTYP, \"…\") to the record, such as \"stream\"".to_owned(),
                ),
            };
            report.error(field.value_at, "bad-link", what, hint);
            return;
        }
    }
    let Some(class) = dbf_link_class(kind, name) else { return };
    match parse_link_field(value, LinkFieldType::for_class(class)) {
        ParsedLink::Db(link) => {
            let target = String::from_utf8_lossy(&Arc::as_ref(&link).target().record_path).into_owned();
            target_of(record, field, &target, Some(class), database, report);
        }
        // CA, CP or CPP: the record may be another IOC's.
        ParsedLink::Ca(link) if !link.json => {
            target_of(record, field, &link.pv.to_string(), None, database, report);
        }
        _ => {}
    }
}

/// Whether what a link leads to is there; a link without a class leads anywhere.
fn target_of(
    record: &Record,
    field: &Field,
    target: &str,
    class: Option<DbfLinkClass>,
    database: &Database,
    report: &mut Report,
) {
    let (kind, name) = (&record.kind, &field.name);
    // A name may have a filter behind its field, as in `X.VAL{…}` or `X.VAL[0:3]`.
    let (wanted, part) = target.split_once('.').unwrap_or((target, ""));
    let part = &part[..part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len())];
    let Some(found) = database.get(wanted) else {
        if let Some(class) = class.filter(|_| !report.open) {
            let mut longer = database.names().filter(|own| own.len() > wanted.len() && may_compare());
            let prefixed = longer.any(|own| own.ends_with(wanted));
            let hint = if prefixed {
                "a record of that name has something before it: is a macro missing, as in \"$(PREFIX)NAME\"?".to_owned()
            } else {
                suggest(wanted, database.names(), || match class {
                    DbfLinkClass::FwdLink => "a forward link to another IOC is \"NAME.PROC CA\"".to_owned(),
                    _ => format!("a link to another IOC says so: \"{target} CA\""),
                })
            };
            let what = format!("{kind}.{name} leads to `{wanted}`, which no database defines");
            report.warning(field.value_at, "unknown-record", what, hint);
        }
        return;
    };
    let has = |part: &str| field_names(&found.kind).any(|own| own == part);
    if !part.is_empty() && has_fields(&found.kind) && !has(part) {
        let hint = suggest(part, field_names(&found.kind), || format!("`{wanted}` is of type {}", found.kind));
        let what = format!("{kind}.{name} leads to `{target}`, but record type {} has no field `{part}`", found.kind);
        report.warning(field.value_at, "unknown-field", what, hint);
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar;
    use super::super::text::Text;
    use super::*;

    #[test]
    fn whole_numbers_are_those_of_c() {
        for good in ["", "0", " -7", "0x1F", "017", "+3", "4294967296"] {
            assert!(is_whole(good, true), "{good}");
        }
        for bad in ["abc", "1.5", "09", "0x", "--1", "99999999999999999999"] {
            assert!(!is_whole(bad, true), "{bad}");
        }
        assert!(is_whole("18446744073709551615", false) && is_whole("-1", false));
    }

    fn found(text: &str) -> Vec<(u32, u32, &'static str)> {
        let mut report = Report::default();
        report.file(std::path::Path::new("x.db"));
        let mut database = Database::default();
        grammar::read(&Text::of_file(0, text.as_bytes()), &mut database, &mut report);
        judge(&database, &mut report);
        report.lines()
    }

    #[test]
    fn what_c_loads_is_silent() {
        for text in [
            "record(ai, A)",
            "record(ai, \"A\") {} grecord(ai, \"A:b[1]<2>;\") { info(x, {a:[1, \"b\"]}) alias(C) }",
            "path \"a\" addpath \"b\" breaktable(t) { 0 0 1 1 } record(ai, A) { field(LINR, \"t\") }",
            "record(calc, A) { field(INPA, {const: 3}) field(INPB, -3.5e2) field(CALC, 'A+B') }",
            "record(ai, A) {} record(\"*\", A) { field(SCAN, \"\") } alias(A, B)",
            "record(ai, A) {} record(\"#\", A) {} record(bi, A) {}",
            "record(ai, A) { field(PREC, \"\") field(HOPR, \"1e3\") field(SCAN, \"9\") field(FLNK, \"A.PROC\") }",
            "record(ai, A) { field(INP, \"far:A.VAL CP MS\") field(SDIS, \"far:B CA\") field(SIOL, \"A.VAL NPP\") }",
            "record(sub, A) { field(SNAM, \"x\") } # record(nothing",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn what_c_refuses_is_found() {
        let cases: [(&str, u32, &str); 19] = [
            ("record(ai, A) { field(DESC, \"12345678901234567890123456789012345678901\") }", 70, "too-long"),
            ("record(ai, A) { field(PREC, \"08\") }", 29, "bad-value"),
            ("record(ai, A) { field(HOPR, \"1 V\") }", 29, "bad-value"),
            ("record(ai, A) { field(SCAN, \"99\") }", 29, "unknown-choice"),
            ("record(ai, A) { field(DTYP, \"nix\") }", 29, "unknown-device"),
            ("record(ai, A) { field(RSET, \"1\") }", 23, "fixed-field"),
            ("record(ai, A) { field(desc, \"1\") }", 23, "unknown-field"),
            ("record(ai, A) { field(INP, \"@x y\") }", 28, "bad-link"),
            ("record(ai, A) { field(INP, {nix:3}) }", 28, "bad-link"),
            ("record(ai, A) { field(INP, a:b) }", 29, "syntax"),
            ("record(ai, A) {} record(bi, A) {}", 29, "duplicate-record"),
            ("record(\"*\", A) {}", 13, "unknown-record"),
            ("record(ai, A) { alias(\"x.y\") }", 23, "bad-name"),
            ("alias(B, C)", 7, "unknown-record"),
            ("record(ai A) {}", 11, "syntax"),
            ("record(ai, A) { field(VAL, 1) } }", 33, "syntax"),
            ("record(ai, A) { filed(VAL, 1) }", 17, "syntax"),
            ("recrod(ai, A)", 1, "syntax"),
            ("record(ai, \"A B\") {}", 12, "bad-name"),
        ];
        for (text, column, code) in cases {
            assert_eq!(found(text), [(1, column, code)], "{text}");
        }
        for modifier in ["", " CA", " CP MS", " CPP"] {
            let text = format!("record(ai, A) {{}} record(ai, B) {{ field(INP, \"A.VALL{modifier}\") }}");
            assert_eq!(found(&text), [(1, 45, "unknown-field")], "{text}");
        }
        let long = "x".repeat(61);
        assert_eq!(found(&format!("record(ai, {long}) {{}}")), [(1, 12, "long-name")]);
        assert_eq!(found(&format!("record(ai, {}) {{}}", &long[1..])), []);
    }

    #[test]
    fn any_part_of_a_database_is_read_without_a_panic() {
        let text = "record(ai, \"$(P)ü\") { field(INP, {calc:{expr:'A', args:[\"x\", 1]}}) info(a, [1]) alias(B) }\n\
                    breaktable(t) { 1 2 } alias(\"a\", b) %x\ninclude \"y\" # z\n";
        for from in 0..text.len() {
            for to in from..text.len() {
                let bytes = &text.as_bytes()[from..to];
                found(&String::from_utf8_lossy(bytes));
            }
        }
    }
}
