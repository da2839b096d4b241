from pdns.fast.encrypted import EncryptedSet

class HttpsSet(EncryptedSet):
    def limit_streams(self, max_streams: int) -> None: ...
