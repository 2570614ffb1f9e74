"""What resolution does outside: writing the MRFC directory of an incident."""
