use crate::plumb::plumb;

/// Help, without the spaces that clap puts into empty lines.
fn help(args: &[&str]) -> String {
    let help = plumb(args).result();
    help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_help_says_what_there_is() {
    insta::assert_snapshot!(help(&["--help"]), @"
    Keeps Kubernetes clusters true to Git, and renders, compares and checks the same files without a
    cluster

    Usage: plumb <COMMAND>

    Commands:
      render      Renders a directory, a Kustomization, a Pipeline or a HelmRelease, and prints the
                  objects. Needs no cluster
      diff        Shows what would change in the cluster if these files were applied
      test        Renders pipelines and compares what they make with what they are to make. Needs no
                  cluster
      lint        Finds common mistakes in the Flux objects of a repository. Needs no cluster
      plugin      Writes, builds, tests, measures, ships and looks at plugins
      get         Lists objects and how they are doing
      explain     Says in a paragraph why an object is not ready, what it waits for, and what to do
      trace       Tells which Kustomization or Pipeline an object belongs to, and from which source,
                  revision and file it comes
      tree        Shows what has been applied as a tree, with what came of it and how it is
      events      Shows the events of Flux's objects and Plumbline's, or those of one object of any
                  kind, the oldest first
      history     Shows the revisions of a Helm release, as `helm history` does: those that its storage
                  still has
      rollback    Goes back to an earlier revision of a Helm release by hand, as `helm rollback` does
      reconcile   Has an object reconciled now, and waits until that is done
      suspend     Stops the reconciliation of an object until it is resumed. What it has applied stays
                  as it is, and drift is left alone
      resume      Goes on with the reconciliation of a suspended object
      install     Installs Plumbline into a cluster: the custom resource definitions, its namespace, its
                  permissions and its Deployment
      migrate     Reports what would change if Plumbline took over from Flux's source-, kustomize- and
                  helm-controller, and hands over when told to
      controller  Runs the controller: reconciles the sources and the Kustomizations of a cluster until
                  it is told to stop
      completion  Prints a script that completes the commands and flags of plumb in a shell
      version     Prints the version
      help        Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
}

#[test]
fn the_help_of_render_gives_examples() {
    insta::assert_snapshot!(help(&["render", "--help"]), @"
    Renders a directory, a Kustomization, a Pipeline or a HelmRelease, and prints the objects. Needs no
    cluster.

    With a PATH the directory is rendered as a Kustomization of that path would be. With --file the
    Kustomization, Pipeline or HelmRelease in the file is rendered: its files are looked for in the Git
    work tree that holds the current directory, or in --root; the chart of a HelmRelease can be given
    with --chart. A HelmRelease is rendered as it would be installed; its hooks are printed after the
    other objects.

    Usage: plumb render [OPTIONS] <PATH|--file <FILE>>

    Arguments:
      [PATH]
              The directory to render

    Options:
      -f, --file <FILE>
              A file with a Kustomization, a Pipeline or a HelmRelease to render

          --root <ROOT>
              The directory that stands for the root of the repository: nothing outside it can be read.
              Default: the Git work tree around PATH, or PATH itself where there is none

          --set <NAME=VALUE>
              A variable, put in place of ${NAME}. It goes before those of the Kustomization

          --values <FILE>
              A file of ConfigMaps and Secrets. With --file, those that the file names are taken
              (substituteFrom, withFrom, secretRef, decryption); with a PATH, all: a Secret with keys
              (*.agekey, *.asc) decrypts, the others are variables

          --plugin <NAME=FILE>
              A plugin that is not built in: its name in `spec.steps`, and its component

          --cluster-objects <FILE>
              A file of objects that plugins with the capability `clusterRead`, and charts, find in the
              cluster

          --revision <REVISION>
              The revision that is rendered, for `when`: for example main@sha1:9f2c41d0

          --chart <PATH>
              The chart of the HelmRelease, as a directory or an archive. A chart of a GitRepository or
              Bucket is looked for in --root without it

          --kube-version <VERSION>
              The version of Kubernetes that charts are told, for example v1.34.0. Default: that of the
              cluster in `plumb diff`, and the one that Helm was made for in `plumb render`

          --api-version <VERSION>
              An API version, or a kind of one, that charts are told the cluster has besides its own in
              `plumb diff`, and besides those of Kubernetes in `plumb render`: example.com/v1,
              example.com/v1/Database

          --plugin-dir <PLUGIN_DIR>
              The directory of the built-in plugins. By default it is looked for beside the plumb binary

              [env: PLUMB_PLUGIN_DIR]

      -o, --output <OUTPUT>
              How the objects are printed

              Possible values:
              - yaml: One document an object, as kubectl takes them
              - json: One list

              [default: yaml]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Examples:
      plumb render clusters/production
      plumb render -f apps.yaml --root ../k8s-manifests
      plumb render clusters/production --set region=eu
      plumb render -f helmrelease.yaml --chart charts/web
    ");
}

#[test]
fn the_help_of_diff_tells_the_exit_codes() {
    insta::assert_snapshot!(help(&["diff", "--help"]), @"
    Shows what would change in the cluster if these files were applied.

    The API server is asked, so defaults and webhooks are taken into account; nothing is changed. With
    --file, objects that would be pruned are shown as well. A HelmRelease is rendered for its next
    revision, as an upgrade where it is installed: its chart is told the version and the kinds of the
    cluster, and `lookup` reads what you may read. The values of Secrets are masked.

    Exits with 0 when nothing would change, with 1 when something would, with more than 1 on an error.

    Usage: plumb diff [OPTIONS] <PATH|--file <FILE>>

    Arguments:
      [PATH]
              The directory to render

    Options:
      -f, --file <FILE>
              A file with a Kustomization, a Pipeline or a HelmRelease to render

          --root <ROOT>
              The directory that stands for the root of the repository: nothing outside it can be read.
              Default: the Git work tree around PATH, or PATH itself where there is none

          --set <NAME=VALUE>
              A variable, put in place of ${NAME}. It goes before those of the Kustomization

          --values <FILE>
              A file of ConfigMaps and Secrets. With --file, those that the file names are taken
              (substituteFrom, withFrom, secretRef, decryption); with a PATH, all: a Secret with keys
              (*.agekey, *.asc) decrypts, the others are variables

          --plugin <NAME=FILE>
              A plugin that is not built in: its name in `spec.steps`, and its component

          --cluster-objects <FILE>
              A file of objects that plugins with the capability `clusterRead`, and charts, find in the
              cluster

          --revision <REVISION>
              The revision that is rendered, for `when`: for example main@sha1:9f2c41d0

          --chart <PATH>
              The chart of the HelmRelease, as a directory or an archive. A chart of a GitRepository or
              Bucket is looked for in --root without it

          --kube-version <VERSION>
              The version of Kubernetes that charts are told, for example v1.34.0. Default: that of the
              cluster in `plumb diff`, and the one that Helm was made for in `plumb render`

          --api-version <VERSION>
              An API version, or a kind of one, that charts are told the cluster has besides its own in
              `plumb diff`, and besides those of Kubernetes in `plumb render`: example.com/v1,
              example.com/v1/Database

          --plugin-dir <PLUGIN_DIR>
              The directory of the built-in plugins. By default it is looked for beside the plumb binary

              [env: PLUMB_PLUGIN_DIR]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Examples:
      plumb diff clusters/production
      plumb diff -f apps.yaml
      plumb diff -f helmrelease.yaml --chart charts/web
    ");
}

#[test]
fn what_is_needed_is_said() {
    insta::assert_snapshot!(plumb(&["render"]).failure(), @"
    error: the following required arguments were not provided:
      <PATH|--file <FILE>>

    Usage: plumb render <PATH|--file <FILE>>

    For more information, try '--help'.
    ");
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = plumb(&["completion", shell]).result();
        assert!(script.contains("reconcile") && script.contains("all-namespaces"), "{shell}: {script}");
    }
}

#[test]
fn the_version_is_that_of_the_crate() {
    let expected = concat!("plumb ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(plumb(&["version"]).result(), expected);
    assert_eq!(plumb(&["--version"]).result(), expected);
}
