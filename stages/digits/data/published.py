"""Data sets that their publishers give away in four archives with MNIST's names and format."""

from typing import NamedTuple

from digits.data.dataset import Description

# Smallest first.
NAMES = (
    "t10k-labels-idx1-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "train-images-idx3-ubyte.gz",
)


class Published(NamedTuple):
    """A published data set.

    Attributes:
        about: what it is.
        hashes: SHA-256 of each archive, by name.
    """

    about: Description
    hashes: dict[str, str]


def _published(about: Description, *hashes: str) -> Published:
    return Published(about, dict(zip(NAMES, hashes, strict=True)))


PUBLISHED = {
    # Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
    "mnist": _published(
        Description(name="mnist", classes=list("0123456789"), pictures="strokes"),
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    # H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST (2017). Its "T-shirt/top" could not name a folder.
    "fashion-mnist": _published(
        Description(
            name="fashion-mnist",
            classes=[
                "T-shirt or top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ],
            pictures="whole",
        ),
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    # T. Clanuwat et al., Deep Learning for Classical Japanese Literature (2018); cursive hiragana, by their reading.
    "kmnist": _published(
        Description(
            name="kmnist", classes=["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], pictures="strokes"
        ),
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    ),
}
