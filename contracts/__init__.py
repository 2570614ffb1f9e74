"""The language of the house: events and the values they carry. Data only; imports msgspec and nothing of ours."""
