"""Average the models of several experiments into one, which errs less often.

Example: python tools/ensemble.py seed=0 seed=1 seed=2

The ONNX model averages the logits of its members, and takes as long for an
image as all of them. It is scored on the images in data/tensors, which have to
be those of every member: on the validation images, by which to choose members,
and on the test images.
"""

from pathlib import Path

from command import ROOT, Parser, run_command
from digits.foundation.files import replacing
from digits.foundation.stage import UserError
from experiments.ensembles import IMAGES, average, get_model, with_scores
from experiments.revisions import LOCK, WORKSPACE, Files, is_current, read_files
from repository import md5_of_file

MODEL = ROOT / "models/ensemble.onnx"


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("revisions", nargs="+", metavar="REVISION", help="experiments or commits, two or more")
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE", help="write here (default: models/ensemble.onnx)"
    )
    arguments = parser.parse_args()
    if WORKSPACE in arguments.revisions:
        parser.error(f"REVISION: must be an experiment or a commit, got {WORKSPACE}")
    files = read_files(arguments.revisions, [LOCK])
    commits = [str(revision.commit) for revision in files.values()]
    if len(set(commits)) < max(2, len(arguments.revisions)):
        parser.error("REVISION: two or more, all different, are needed")
    for revision in files.values():
        check_images(revision)
    ensemble = average({name: get_model(revision) for name, revision in files.items()}, commits)
    content, scores = with_scores(ensemble)
    with replacing(arguments.model) as temporary:
        temporary.write_bytes(content)
    for name, found in scores.items():
        print(
            f"{name}: {found['accuracy']:.2%} of {found['images']:,} images correct "
            f"(95 % interval {found['accuracy_low']:.2%} to {found['accuracy_high']:.2%})"
        )
    print(f"{arguments.model}: the average of {len(commits)} models")


def check_images(revision: Files) -> None:
    """Raise a `UserError` unless a revision has a model, which was scored on the images that are here."""
    name, stages = revision.revision, revision.stages
    if not is_current(stages, "export"):
        raise UserError(
            f"{name}: has no ONNX model, since the stage export has not run; `dvc exp apply {name}; dvc repro; "
            f"dvc exp save -n {name}-whole` makes an experiment that has one"
        )
    used = stages["train"].deps | stages["export"].deps
    for path in IMAGES.values():
        if not (ROOT / path).is_file():
            raise UserError(f"{path}: is missing; `dvc checkout` brings it back, or `dvc repro`")
        if md5_of_file(ROOT / path) != used[path]:
            raise UserError(
                f"{path}: has other images than {name} was scored on; take experiments of the same data, and "
                f"`dvc exp apply {name}; dvc checkout` for theirs"
            )


if __name__ == "__main__":
    run_command(main)
