"""The exported model, which recognises the digits on pictures, and the page to draw on."""
