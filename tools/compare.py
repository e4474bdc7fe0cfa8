"""Is one model better than another, or one recipe than another?

Example: python tools/compare.py
         python tools/compare.py HEAD cnn mlp --classes
         python tools/compare.py --seeds cnn mlp

A revision is a commit, an experiment or `workspace`. Each is compared with the
first on the test images; the workspace with HEAD if none is named, and with the
revision if one is. The answer holds for other images, but only for these seeds.

With --seeds, a revision stands for all experiments, and the last commit, that
differ from it in train.seed alone, and the answer holds for other images and
other seeds. Recipes are compared on the seeds that both have; a single revision
(HEAD without any) is described. To run some seeds:
python tools/sweep.py -S 'train.seed=range(0,6)'

Exit status with --fail-if-worse: 1 if any is worse than the first.
"""

import json
import sys
import textwrap

from command import Parser, run_command
from experiments.image_report import report_images
from experiments.revisions import WORKSPACE
from experiments.seed_report import report_seeds
from experiments.statistics import WORSE


def main() -> None:
    parser = Parser(__doc__)
    default = "(default: HEAD workspace)"
    parser.add_argument("revisions", nargs="*", metavar="REVISION", help=f"commits, experiments or workspace {default}")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--classes", action="store_true", help="compare by actual class, too")
    scope.add_argument("--seeds", action="store_true", help="compare recipes over several seeds")
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--md", action="store_true", help="print Markdown, for a pull request")
    style.add_argument("--json", action="store_true", help="print JSON, with accuracies as fractions")
    parser.add_argument("--fail-if-worse", action="store_true", help="exit with 1 if any is worse than the first")
    arguments = parser.parse_args()
    names = arguments.revisions or ["HEAD"]
    if arguments.seeds:
        numbers, parts = report_seeds(names, arguments.md)
    else:
        if len(names) == 1:
            names = ["HEAD" if names == [WORKSPACE] else names[0], WORKSPACE]
        numbers, parts = report_images(names, arguments.classes, arguments.md)
    if arguments.json:
        print(json.dumps(numbers, indent=2))
    else:
        # Tables have more than one line, paragraphs have one.
        wrap = textwrap.TextWrapper(80, break_on_hyphens=False)  # which names may have
        print("\n\n".join(part if "\n" in part or arguments.md else wrap.fill(part) for part in parts))
    if arguments.fail_if_worse and any(item["verdict"] == WORSE for item in numbers["comparisons"]):
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
