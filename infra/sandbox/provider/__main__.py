from infra.sandbox.provider.server import main

if __name__ == "__main__":
    main()
