"""What does another seed change, and what would other test images change?

Example: python tools/seeds.py --picture seeds.png

Takes the last commit and all experiments, or those named, and groups those that
differ in train.seed alone. To run some:
python tools/sweep.py -S 'train.seed=range(0,5)'
"""

import json
from typing import Any

from command import Parser, png_file, run_command
from digits.foundation.stage import UserError
from experiments.runs import gather
from experiments.seed_groups import as_json, by_recipe, splits_of, title
from tables import table

HEADER = ["accuracy, %", "mean", "sd", "95 % by seeds", "95 % by images"]


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument(
        "revisions", nargs="*", metavar="REVISION", help="commits or experiments (default: HEAD and all experiments)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with accuracies as fractions")
    parser.add_argument(
        "--picture", type=png_file, metavar="FILE", help="draw validation errors by epoch to this PNG file"
    )
    arguments = parser.parse_args()
    runs = gather(arguments.revisions)
    groups = by_recipe(runs)
    if not groups:
        raise UserError(
            "train.seed: must differ between runs that are otherwise alike, got no two such; run some with "
            "`python tools/sweep.py -S 'train.seed=range(0,5)'`"
        )
    if arguments.picture and not all("val_accuracy" in run.metrics for group in groups for run in group):
        raise UserError("preprocess.val_size: must be above 0 for a picture, got runs without validation images")
    if arguments.json:
        print(json.dumps([as_json(group, runs[0]) for group in groups], indent=2))
    else:
        blocks = (
            [title(group, runs[0]), table(HEADER, [row(*split) for split in splits_of(group).items()])]
            for group in groups
        )
        print("\n\n".join("\n".join(block) for block in blocks))
    if arguments.picture:
        from experiments.figures import draw_seeds  # here, since Matplotlib loads slowly

        draw_seeds(groups, runs[0], arguments.picture)


def row(split: str, found: dict[str, Any]) -> list[str]:
    """Mean, standard deviation and two intervals of the accuracy on a split, in percent."""
    intervals = (found["interval_by_seeds"], found["interval_by_images"])
    return [
        split,
        f"{100 * found['mean']:.2f}",
        f"{100 * found['sd']:.2f}",
        *(f"{100 * low:.2f} to {100 * high:.2f}" for low, high in intervals),
    ]


if __name__ == "__main__":
    run_command(main)
