"""What a finished run says: numbers, tables, pictures, films."""
