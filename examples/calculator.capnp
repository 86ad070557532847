# A calculator that remembers nothing and lends everything: numbers and functions are objects. Ids and ordinals
# are those of Cap'n Proto's public sample, so that ours talks to calculators in other languages.

@0x85150b117366d14b;

interface Calculator {
    evaluate @0 (expression :Expression) -> (value :Value);
    # The number stays with the calculator until somebody reads it. Usable in further expressions at once.

    struct Expression {
        union {
            literal @0 :Float64;
            previousResult @1 :Value;
            parameter @2 :UInt32; # in the body of a function
            call :group {
                function @3 :Function;
                params @4 :List(Expression);
            }
        }
    }

    interface Value {
        read @0 () -> (value :Float64);
    }

    defFunction @1 (paramCount :Int32, body :Expression) -> (func :Function);

    interface Function {
        # Ours or the client's: the calculator calls it either way.
        call @0 (params :List(Float64)) -> (value :Float64);
    }

    getOperator @2 (op :Operator) -> (func :Function);

    enum Operator {
        add @0;
        subtract @1;
        multiply @2;
        divide @3;
    }
}
