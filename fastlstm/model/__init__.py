"""The drop-in classes: an LSTM, and a dense network, with the methods of the NumPy classes that they stand for."""
