//! Getting a machine ready. Every step looks first, so running it again changes nothing; what it
//! installs it names, with the reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{on_path, output, program, root, run, target};

/// The target that browsers run.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A Debian package, how to see that it is not needed, and what it is for.
struct Package {
    name: &'static str,
    present: fn() -> bool,
    reason: &'static str,
}

const VULKAN_LOADER: Package = Package {
    name: "libvulkan1",
    present: || library("libvulkan.so.1"),
    reason: "the Vulkan loader, through which the native program reaches the GPU",
};
const VULKAN_DRIVERS: Package = Package {
    name: "mesa-vulkan-drivers",
    present: || system_icds().next().is_some(),
    reason: "Vulkan drivers, among them one that runs on the CPU where there is no GPU",
};
const LAVAPIPE: Package = Package {
    name: "mesa-vulkan-drivers",
    present: || system_lavapipe().is_some(),
    reason: "lavapipe, the Vulkan driver on the CPU that the tests run on",
};
const CHROMIUM: Package = Package {
    name: "chromium",
    present: || chromium().is_some(),
    reason: "the browser that the tests drive, and SwiftShader, its Vulkan driver on the CPU",
};

const FIREFOX: Package = Package {
    name: "firefox-esr",
    present: || firefox().is_some(),
    reason: "the other browser that the tests drive",
};

const DCMTK: Package = Package {
    name: "dcmtk",
    present: || on_path("dsrdump"),
    reason: "dsrdump, which reads exported DICOM structured reports",
};
const DICOM3TOOLS: Package = Package {
    name: "dicom3tools",
    present: || on_path("dciodvfy"),
    reason: "dciodvfy, which checks exported DICOM against the standard",
};

/// What the demonstration needs: the wasm target and a Vulkan driver.
pub(crate) fn for_demo() -> Result<()> {
    rust()?;
    if cfg!(target_os = "linux") {
        apt(&[VULKAN_LOADER, VULKAN_DRIVERS])?;
    }
    Ok(())
}

/// What every check and test needs.
pub(crate) fn everything() -> Result<()> {
    rust()?;
    apt(&[VULKAN_LOADER, LAVAPIPE, CHROMIUM, FIREFOX, DCMTK, DICOM3TOOLS])?;
    lavapipe()?;
    python()?;
    node()
}

fn rust() -> Result<()> {
    let libdir =
        || output(&mut program("rustc", ["--print", "target-libdir", "--target", WASM_TARGET]));
    if libdir().is_none_or(|dir| !Path::new(&dir).is_dir()) {
        say(WASM_TARGET, "Rust's standard library for the browser");
        rustup(&["target", "add", WASM_TARGET])?;
    }
    for component in ["rustfmt", "clippy"] {
        let tool = if component == "rustfmt" { "fmt" } else { component };
        if output(&mut crate::shell::cargo([tool, "--version"])).is_none() {
            say(component, "part of the checks");
            rustup(&["component", "add", component])?;
        }
    }
    Ok(())
}

fn rustup(args: &[&str]) -> Result<()> {
    if !on_path("rustup") {
        bail!(
            "rustup is not installed; with your own Rust, install what `rustup {}` would",
            args.join(" ")
        );
    }
    run(program("rustup", args).current_dir(root()))
}

/// Installs the packages that are missing, in one go.
fn apt(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !(package.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    for package in &missing {
        say(package.name, package.reason);
    }
    if !on_path("apt-get") {
        bail!("this is not Debian; please install what provides {}", names.join(", "));
    }
    let command = |args: &[&str]| -> Command {
        let mut command = match is_root() {
            true => program("apt-get", args),
            false => program("sudo", ["-n", "apt-get"].iter().chain(args)),
        };
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(&names);
    run(&mut command(&["update", "-qq"]))
        .and_then(|()| run(&mut command(&install)))
        .with_context(|| format!("please run as root: apt-get {}", install.join(" ")))?;
    match missing.iter().find(|package| !(package.present)()) {
        Some(package) => {
            bail!("{} is installed, yet {} is not there", package.name, package.reason)
        }
        None => Ok(()),
    }
}

/// The ICD file of a lavapipe with 16-bit floats and subgroups that Chromium's Dawn accepts too:
/// Mesa 24 or later. Debian 12's own is older, so its backport is unpacked beside the build.
pub(crate) fn lavapipe() -> Result<PathBuf> {
    let dir = target().join("tools/lavapipe");
    let icd = dir.join("icd.json");
    if icd.is_file() {
        return Ok(icd);
    }
    if codename().as_deref() != Some("bookworm") {
        return system_lavapipe()
            .context("no lavapipe is installed (Mesa's Vulkan driver for the CPU)");
    }
    say("mesa-vulkan-drivers 25 under target/tools", "a lavapipe that Chromium's Dawn accepts");
    let library = unpack_backport("mesa-vulkan-drivers", "libvulkan_lvp.so", &dir)?;
    let text = format!(
        r#"{{"file_format_version":"1.0.0","ICD":{{"api_version":"1.4.305","library_path":"{}"}}}}"#,
        library.display()
    );
    std::fs::write(&icd, text)?;
    Ok(icd)
}

/// Takes one file out of a package of bookworm-backports without installing the package: apt gets
/// a source list and a state directory of its own, so the machine's stay as they are.
fn unpack_backport(package: &str, file: &str, dir: &Path) -> Result<PathBuf> {
    let apt = dir.join("apt");
    std::fs::create_dir_all(apt.join("lists/partial"))?;
    std::fs::create_dir_all(apt.join("cache/archives/partial"))?;
    let mirror = debian_mirror().context("no Debian mirror in apt's sources")?;
    let list = apt.join("sources.list");
    std::fs::write(&list, format!("deb {mirror} bookworm-backports main\n"))?;
    let options = [
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(), // the download runs in a directory of ours
    ];
    let apt_get = |args: &[&str]| -> Command {
        let mut command = program("apt-get", options.iter().flat_map(|option| ["-o", option]));
        command.args(args).current_dir(&apt);
        command
    };
    run(&mut apt_get(&["update", "-qq"]))?;
    run(&mut apt_get(&["download", "-qq", package]))?;
    let deb = entries(&apt).find(|path| path.extension().is_some_and(|ext| ext == "deb"));
    let deb = deb.with_context(|| format!("apt-get left no .deb of {package}"))?;
    run(program("dpkg", ["-x"]).arg(&deb).arg(apt.join("root")))?;
    let found =
        find(&apt.join("root"), file).with_context(|| format!("{package} has no {file}"))?;
    let library = dir.join(file);
    std::fs::copy(found, &library)?;
    std::fs::remove_dir_all(&apt)?;
    Ok(library)
}

fn debian_mirror() -> Option<String> {
    let format = ["indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages"];
    let targets = output(&mut program("apt-get", format))?;
    let plain = targets.lines().find_map(|line| line.strip_suffix(" bookworm"))?;
    Some(plain.to_owned())
}

/// The drivers and tools of the browser tests, as tests/browser/package-lock.json pins them.
fn node() -> Result<()> {
    let version = output(&mut program("node", ["--version"]))
        .context("Node is not installed; please install Node 20 or later")?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|v| v.parse().ok());
    if major.is_none_or(|major: u32| major < 20) {
        bail!("Node {version} is too old; please install Node 20 or later");
    }
    let dir = root().join("tests/browser");
    let lock = std::fs::read(dir.join("package-lock.json"))?;
    let stamp = dir.join("node_modules/.radllama-lock");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    say(
        "npm packages in tests/browser",
        "drivers of the browsers, Dawn for Node, and what a host of the package has",
    );
    // No install scripts: no package needs one here.
    run(program("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&dir))?;
    std::fs::write(stamp, lock)?;
    Ok(())
}

/// The parsers that read exports, as tests/browser/requirements.txt pins them, in a folder of their own: neither
/// the machine's Python nor a virtual environment is touched.
pub(crate) fn python() -> Result<PathBuf> {
    let list = root().join("tests/browser/requirements.txt");
    let wanted = std::fs::read(&list)?;
    let dir = target().join("tools/python");
    let stamp = dir.join(".radllama-requirements");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(dir);
    }
    say(
        "Python packages under target/tools",
        "parsers of HL7 and DICOM that read what is exported",
    );
    let mut install = program("python3", ["-m", "pip", "install", "--quiet", "--no-deps"]);
    install.args(["--require-hashes", "--upgrade", "--target"]).arg(&dir).arg("-r").arg(&list);
    run(&mut install).context("Python 3.10 or later with pip is needed")?;
    std::fs::write(stamp, wanted)?;
    Ok(dir)
}

/// Chromium's binary.
pub(crate) fn chromium() -> Option<PathBuf> {
    let given = std::env::var_os("RADLLAMA_CHROMIUM").map(PathBuf::from);
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    given.into_iter().chain(known.map(PathBuf::from)).find(|path| path.is_file())
}

/// Firefox's binary.
pub(crate) fn firefox() -> Option<PathBuf> {
    let given = std::env::var_os("RADLLAMA_FIREFOX").map(PathBuf::from);
    let known = ["/usr/bin/firefox-esr", "/usr/bin/firefox"].map(PathBuf::from);
    given.into_iter().chain(known).find(|path| path.is_file())
}

/// The ICD file of SwiftShader, which every Chromium carries.
pub(crate) fn swiftshader() -> Option<PathBuf> {
    let dirs = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"];
    dirs.map(|dir| Path::new(dir).join("vk_swiftshader_icd.json")).into_iter().find(|p| p.is_file())
}

fn system_icds() -> impl Iterator<Item = PathBuf> {
    let dirs = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    dirs.into_iter().flat_map(|dir| entries(Path::new(dir)))
}

fn system_lavapipe() -> Option<PathBuf> {
    system_icds()
        .find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("lvp_")))
}

fn library(name: &str) -> bool {
    output(&mut program("/sbin/ldconfig", ["-p"])).is_some_and(|list| list.contains(name))
}

fn codename() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).map(str::to_owned)
}

fn is_root() -> bool {
    output(&mut program("id", ["-u"])).as_deref() == Some("0")
}

fn entries(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    entries(dir).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.file_name().is_some_and(|found| found == name).then_some(path),
    })
}

fn say(what: &str, reason: &str) {
    eprintln!("installing {what}: {reason}");
}
