"""The facts about every data set but the user's own: what it is, where it comes from, the hashes of its archives."""

from typing import NamedTuple

from digits.dataset import Description


class Published(NamedTuple):
    """A published data set."""

    about: Description
    source: str  # its citation and its licence
    # SHA-256 of its archives, in the order of `sources.archives.ARCHIVES`; none if it needs no download
    hashes: tuple[str, ...] = ()


DIGITS = list("0123456789")
# What Fashion-MNIST calls "T-shirt/top" could not name a folder.
CLOTHES = ["T-shirt or top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
HIRAGANA = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]  # cursive ones, by their reading

PUBLISHED = {
    "mnist": Published(
        Description(name="mnist", classes=DIGITS, pictures="strokes"),
        "Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; CC BY-SA 3.0",
        (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
    ),
    "fashion-mnist": Published(
        Description(name="fashion-mnist", classes=CLOTHES, pictures="whole"),
        "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST (2017); MIT licence",
        (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
    ),
    "kmnist": Published(
        Description(name="kmnist", classes=HIRAGANA, pictures="strokes"),
        "T. Clanuwat et al., Deep learning for classical Japanese literature (2018); CC BY-SA 4.0",
        (
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        ),
    ),
    "optdigits": Published(
        Description(name="optdigits", classes=DIGITS, pictures="strokes"),
        "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (1998); CC BY 4.0",
    ),
}
# Of a folder of pictures, and of what somebody added to a copy of this project.
OWN_SOURCE = "pictures of whoever trained the model; ask them for the licence"
