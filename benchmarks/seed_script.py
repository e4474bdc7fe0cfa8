"""The recipe that the project started from as a plain PyTorch script, with a DataLoader and loss every epoch.

Arguments: FOLDER EPOCHS; FOLDER/MNIST/raw holds the four unpacked files.
"""

import sys
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

BATCH_SIZE = 400
THREADS = 1


def train(folder: str, batch_size: int) -> Iterator[nn.Module]:
    """Train on the 60,000 training images, and yield the model after every epoch."""
    loader = DataLoader(MNIST(folder, transform=ToTensor()), batch_size=batch_size, shuffle=True)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    while True:
        loss_sum, correct, seen = 0.0, 0, 0
        for pixels, labels in loader:
            logits = model(pixels)
            loss = nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += int((logits.argmax(dim=1) == labels).sum())
            seen += len(labels)
        print(f"loss {loss_sum / seen:.4f} accuracy {correct / seen:.4f}", file=sys.stderr)
        yield model


def main(folder: str, epochs: int) -> None:
    torch.set_num_threads(THREADS)
    for _, trained in zip(range(epochs), train(folder, BATCH_SIZE), strict=False):
        model = trained
    correct = seen = 0
    with torch.inference_mode():
        for pixels, labels in DataLoader(MNIST(folder, train=False, transform=ToTensor()), batch_size=BATCH_SIZE):
            correct += int((model(pixels).argmax(dim=1) == labels).sum())
            seen += len(labels)
    print(f"test accuracy {correct / seen:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
