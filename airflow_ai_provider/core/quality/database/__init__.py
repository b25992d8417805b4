"""A suite on a database table, written as SQLAlchemy expressions.

The reference for tables is Great Expectations' SQL engine, which has the database itself evaluate
every condition. So each expression here is the one that the reference would send: the same
operators and the same bound values, on the same database, but all in one statement.
"""
