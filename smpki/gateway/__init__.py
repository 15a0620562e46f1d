"""What a gateway and its partners stand on: security module, content protection, wake-up, time, LMN protection."""
