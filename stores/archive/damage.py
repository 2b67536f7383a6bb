"""What is wrong with an archive: said with the object's name and what to do."""


class ArchiveDamageError(Exception):
    """An object of the archive is missing, cut off or of another form than expected."""


class OlderSchemaError(ArchiveDamageError):
    """An object was written in a form that this code does not read any more."""
