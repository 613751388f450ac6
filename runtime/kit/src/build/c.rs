//! C: bindings are generated, everything is compiled and linked in one command, and the module is made a component.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool::{self, Step};
use super::{BuildError, Project};
use crate::bindings;

/// Deep enough for the SDK's JSON reader many times over; the runtime bounds memory as a whole.
const STACK_BYTES: u32 = 128 * 1024;

pub(super) fn build(project: &Project, output: &Path, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let sources = sources(&project.root.join("src"))?;
    let sdk = project.sdk.join("sdk/c");
    let work = project.root.join("build");
    let generated = work.join("bindings");
    write_bindings(project, &generated)?;
    let python = tool::python_with(project, "c", &sdk.join("requirements.txt"), progress)?;
    // Beside the compiler, so that projects that share it also share the compiled C library.
    let cache = python.with_file_name("cache");

    progress("Compiling and linking (the first time takes a minute: the C library is compiled as well)");
    let module = work.join("provider.core.wasm");
    Step {
        failed: "the C compiler or its linker refused the provider",
        mend: "mend what it points at. A function that is `undefined` belongs to an ability that strowger.toml names: write it, \
               or take the ability away",
        install: "remove the folder .strowger/venv, and build again",
    }
    .run(
        Command::new(&python)
            .args(["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor"])
            .args(["-std=gnu17", "-Os", "-s", "-Wall", "-Wextra"])
            .arg(format!("-Wl,-z,stack-size={STACK_BYTES}"))
            // Parts of the JSON library that no provider needs, and inlining that trebles the rest.
            .args(["-DYYJSON_DISABLE_UTILS=1", "-DYYJSON_DISABLE_NON_STANDARD=1", "-Dyyjson_inline=inline"])
            .arg("-I")
            .arg(&generated)
            .arg("-I")
            .arg(&sdk)
            .arg("-I")
            .arg(sdk.join("yyjson"))
            .args(&sources)
            .args([sdk.join("strowger.c"), sdk.join("memory.c"), sdk.join("yyjson/yyjson.c")])
            .args([generated.join("st.c"), generated.join("st_component_type.o")])
            .arg("-o")
            .arg(&module)
            .env("ZIG_LOCAL_CACHE_DIR", work.join("cache"))
            .env("ZIG_GLOBAL_CACHE_DIR", cache)
            .current_dir(&project.root),
    )?;

    progress("Making a component of the module");
    let bytes = fs::read(&module).map_err(|source| BuildError::io(&module, &source))?;
    let component = bindings::componentize(&bytes).map_err(|why| BuildError::no_component(&module, &why))?;
    fs::write(output, component).map_err(|source| BuildError::io(output, &source))
}

/// The header and its implementation, for the compiler and for an editor.
fn write_bindings(project: &Project, folder: &Path) -> Result<(), BuildError> {
    let files = bindings::c_bindings(&project.sdk.join("wit"), &project.abilities).map_err(|why| {
        BuildError::new(
            "the bindings of the contract could not be made",
            project.root.join(super::MANIFEST).display().to_string(),
            "mend the list `abilities`",
        )
        .because(why)
    })?;
    fs::create_dir_all(folder).map_err(|source| BuildError::io(folder, &source))?;
    for file in files {
        let path = folder.join(&file.name);
        fs::write(&path, &file.contents).map_err(|source| BuildError::io(&path, &source))?;
    }
    Ok(())
}

/// The author's files, sorted so that the same sources give the same component.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let entries = fs::read_dir(folder).map_err(|source| BuildError::io(folder, &source))?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| BuildError::io(folder, &source))?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    if sources.is_empty() {
        return Err(BuildError::new(
            "there is nothing to compile",
            folder.display().to_string(),
            "put the provider's .c files there",
        ));
    }
    Ok(sources)
}
