use super::*;

/// The four required exports, as instances without anything in them.
const HONEST: &str = r#"
    (instance $empty)
    (export "strowger:provider/descriptor@0.1.0" (instance $empty))
    (export "strowger:provider/webhook@0.1.0" (instance $empty))
    (export "strowger:provider/answer@0.1.0" (instance $empty))
    (export "strowger:provider/media@0.1.0" (instance $empty))
"#;

fn component(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {body} {HONEST})")).unwrap()
}

fn read(body: &str) -> Structure {
    Structure::read(&component(body)).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(body: &str, expected: &str) {
    let error = Structure::read(&component(body))
        .expect_err("it is refused")
        .to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_an_instance_needs_is_counted_over_all_its_modules() {
    let module =
        "(core module $m (memory 2) (table 10 funcref) (func) (global i32 (i32.const 0)) (data (i32.const 0) \"x\"))";
    let one = read(&format!("{module} (core instance (instantiate $m))"));
    assert_eq!(one.class, Class::Compact);
    assert_eq!(
        one.counts.instance,
        Demand {
            core_instances: 1,
            memories: 1,
            memory_bytes: 2 * PAGE_BYTES,
            tables: 1,
            table_elements: 10,
            ..Demand::default()
        }
    );
    assert_eq!(
        (one.counts.functions, one.counts.globals, one.counts.segments),
        (1, 1, 1)
    );
    // Never instantiated, it costs no instance anything.
    assert_eq!(read(module).counts.instance, Demand::default());
}

#[test]
fn what_does_not_fit_a_slot_is_of_the_other_class() {
    for body in [
        "(core module $m) ".to_owned() + &"(core instance (instantiate $m)) ".repeat(5),
        "(core module $m (memory 1)) ".to_owned() + &"(core instance (instantiate $m)) ".repeat(3),
        "(core module $m (memory 65)) (core instance (instantiate $m))".to_owned(),
        "(core module $m (table 20001 funcref)) (core instance (instantiate $m))".to_owned(),
        "(component $c (core module $m) (core instance (instantiate $m))) (instance (instantiate $c))".to_owned(),
    ] {
        assert_eq!(read(&body).class, Class::Interpreted, "{body}");
    }
}

#[test]
fn nested_components_multiply() {
    // 10 * 10 * 10 instances of three levels, in a few hundred bytes.
    let bomb = format!(
        "(component $a (core module $m) {})
         (component $b (alias outer 1 $a (component $a)) {})",
        "(core instance (instantiate $m))".repeat(10),
        "(instance (instantiate $a))".repeat(10),
    );
    refused(&bomb, "not defined in the same place");
    let nested = format!(
        "(component $b (component $a (core module $m (table 1 funcref)) {}) {}) {}",
        "(core instance (instantiate $m))".repeat(2),
        "(instance (instantiate $a))".repeat(2),
        "(instance (instantiate $b))".repeat(2),
    );
    let counts = read(&nested).counts.instance;
    assert_eq!(
        (
            counts.core_instances,
            counts.nested_core_instances,
            counts.component_instances
        ),
        (8, 8, 6)
    );
    assert_eq!((counts.tables, counts.table_elements), (8, 8));
    let many = nested
        .replace("(table 1 funcref)", "")
        .replace("(instance (instantiate $b))", &"(instance (instantiate $b))".repeat(16));
    refused(&many, "instances in nested components; at most 32");
    let levels = "(component ".repeat(4) + &")".repeat(4);
    refused(&levels, "levels of nested components; at most 3");
    refused(
        "(core module $m) (export \"m\" (core module $m))",
        "not defined in the same place",
    );
}

#[test]
fn every_bound_holds() {
    let repeat = |text: &str, times| text.repeat(times);
    for (body, expected) in [
        (repeat("(core module)", 129), "has 129 core modules; at most 128"),
        (
            "(core module $m) ".to_owned() + &repeat("(core instance (instantiate $m))", 129),
            "has 129 core instances; at most 128",
        ),
        (
            "(core module $m (memory 1)) ".to_owned() + &repeat("(core instance (instantiate $m))", 9),
            "has 9 memories; at most 8",
        ),
        (
            "(core module $m (memory 3000)) (core instance (instantiate $m))".to_owned(),
            "has 196608000 bytes of memory at the start",
        ),
        (
            "(core module $m (table 300000 funcref)) (core instance (instantiate $m))".to_owned(),
            "has 300000 table elements at the start; at most 200000",
        ),
        (
            format!("(core module {})", repeat("(func)", 60_001)),
            "has 60001 functions; at most 60000",
        ),
        (
            format!("(core module {})", repeat("(global i32 (i32.const 0))", 50_001)),
            "has 50001 globals",
        ),
        (
            format!(
                "(core module (func (param i32) (block (br_table {} (local.get 0)))))",
                repeat("0 ", 70_000)
            ),
            "branch targets in one function; at most 65536",
        ),
        (
            format!("(core module (func {}))", repeat("nop ", (1 << 20) + 1)),
            "bytes in one function; at most 1048576",
        ),
    ] {
        refused(&body, expected);
    }
    let mut debug = component("");
    debug.extend([0, 0xff, 0xff, 0xff, 0x0f, 1, b'x']);
    debug.resize(debug.len() + 0x1ff_ffff - 2, 0);
    let error = Structure::read(&debug).unwrap_err().to_string();
    assert!(
        error.contains("bytes of custom sections; at most") && error.contains("strip"),
        "{error}"
    );
}

#[test]
fn only_plain_functions_with_utf8_strings_are_taken() {
    let lift = |options: &str| {
        format!(
            "(core module $m (memory (export \"memory\") 1) (func (export \"f\") (param i32 i32))
               (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) unreachable))
             (core instance $i (instantiate $m))
             (func (param \"text\" string) (canon lift (core func $i \"f\") (memory (core memory $i \"memory\"))
               (realloc (core func $i \"realloc\")) {options}))"
        )
    };
    read(&lift("string-encoding=utf8"));
    refused(&lift("string-encoding=utf16"), "its strings are not in UTF-8");
    refused(&lift("string-encoding=latin1+utf16"), "its strings are not in UTF-8");
}

#[test]
fn the_contract_is_told_by_the_names() {
    let other = HONEST.replace("0.1.0", "0.7.0");
    let bytes = wat::parse_str(format!("(component {other})")).unwrap();
    let error = Structure::read(&bytes).unwrap_err();
    assert!(matches!(error, LoadError::OtherContract { .. }));
    let error = error.to_string();
    assert!(
        error.contains("0.7.0") && error.contains("0.1.0") && error.contains("Build it again"),
        "{error}"
    );
    refused(
        "(import \"wasi:http/types@0.2.0\" (instance))",
        "imports `wasi:http/types@0.2.0`",
    );
    refused(
        "(import \"strowger:provider/types@0.1.0\" (func))",
        "imports `strowger:provider/types@0.1.0`",
    );
    assert_eq!(
        read("(import \"strowger:provider/types@0.1.0\" (instance))").imports,
        ["strowger:provider/types@0.1.0"]
    );
}
