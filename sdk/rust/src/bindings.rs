//! Generated from `wit/`, one module for each world.
//!
//! The required interfaces are one world and each ability is a world of its own, so that a component exports exactly
//! the abilities that its author named: the description of a world is linked in by its export macro only. The records
//! of `types` exist once, in `provider`; the other worlds refer to them.

pub mod provider {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "provider",
        pub_export_macro: true,
        export_macro_name: "export_provider",
        default_bindings_module: "strowger_sdk::bindings::provider",
        additional_derives: [PartialEq],
    });
}

pub mod calling {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-calling",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::calling",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}

pub mod detection {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-detection",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::detection",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}

pub mod numbers {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-numbers",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::numbers",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}

pub mod transfer {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-transfer",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::transfer",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}

pub mod setup {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-setup",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::setup",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}

pub mod trunks {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-trunks",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::trunks",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}

pub mod events {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "with-events",
        pub_export_macro: true,
        export_macro_name: "export_ability",
        default_bindings_module: "strowger_sdk::bindings::events",
        additional_derives: [PartialEq],
        with: { "strowger:provider/types@0.1.0": super::provider::strowger::provider::types },
    });
}
